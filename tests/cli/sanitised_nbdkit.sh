# SPDX-License-Identifier: BSD-2-Clause
# Sourced: nbdkit for a plugin that was built with a sanitizer.

# A sanitised plugin in an nbdkit that is not: its runtime must be there first. nbdkit unloads the plugin before leaks are
# looked for, so they would have no names; the other tests look for them. libp11-kit, which nbdkit has by way of gnutls,
# then hangs in a destructor (freelocale waits for a lock), so it gets one that does nothing.
sanitised_nbdkit() { # the command, a directory to make; PATH then leads to an nbdkit in there, where one is needed
	local plugin dir=$2
	plugin=$(dirname "$1")/../serve/nbd/nbdkit-outboard-plugin.so
	grep -q __asan_init "$plugin" || return 0
	mkdir "$dir"
	echo 'void freelocale(void *locale); void freelocale(void *locale) { (void)locale; }' >"$dir/freelocale.c"
	gcc -shared -fPIC -o "$dir/freelocale.so" "$dir/freelocale.c" -w
	printf '#!/bin/sh\nASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="%s %s" exec %s "$@"\n' \
		"$(gcc -print-file-name=libasan.so)" "$dir/freelocale.so" "$(command -v nbdkit)" >"$dir/nbdkit"
	chmod +x "$dir/nbdkit"
	PATH=$dir:$PATH
}
