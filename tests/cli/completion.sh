#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# bash completion: completion.sh OUTBOARD
. "$(dirname "$0")/lib.sh"
[ -f /usr/share/bash-completion/bash_completion ] || { echo "skipped: no bash-completion" && exit 77; }
set +u
. /usr/share/bash-completion/bash_completion
. "$(dirname "$0")/../../completion/outboard.bash"

# What the last word of a line may become.
complete_line() {
	COMP_LINE=$1
	COMP_POINT=${#COMP_LINE}
	# bash cuts words at colons, too.
	read -ra COMP_WORDS <<<"${COMP_LINE//:/ : }"
	[ "${COMP_LINE: -1}" != " " ] || COMP_WORDS+=("")
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	COMPREPLY=()
	last="completing '$1'"
	_outboard
	printf '%s\n' "${COMPREPLY[@]}" | sort >"$work/out"
}

is() { # LINE WORDS
	complete_line "$1"
	check "$last: $(tr '\n' ' ' <"$work/out")" [ "$(tr '\n' ' ' <"$work/out")" = "$2 " ]
}

is "outboard de" "devices"
is "outboard re" "read"
is "outboard -v --quiet in" "info"
is "outboard --mach" "--machine"
is "outboard bench --mo" "--mode"
is "outboard bench --mode p" "polled"
is "outboard devices --js" "--json"
is "outboard --machine x info --js" "--json"
is "outboard trace --ou" "--output"
is "outboard trace --output f be" "bench"
is "outboard trace bench --allow" "--allow-writes"
is "outboard serve nbd --re" "--read-only"
is "outboard help se" "serve"
is "outboard net ca" "capture"
is "outboard net bridge --no-o" "--no-offloads"
is "outboard net --disc" "--discard"
is "outboard -M model: be" "bench"
is "outboard --machine vfio:0000:01:00.0 inf" "info"
is "outboard -M vfio:0000:01:00.0 trace -o f bench --mode h" "hybrid"
is "outboard -M q" "qemu:q35 qemu:virt"
is "outboard -M qemu:v" "virt"
for device in /sys/bus/pci/devices/*; do
	address=${device##*/}
	[ "$address" = "*" ] || is "outboard bind $address" "${address##*:}"
done

# Every verb and every option that the help names is offered.
for verb in $("$OUTBOARD" --help | sed -n '/^verbs:/,/^$/s/^  \([a-z-]*\) .*/\1/p'); do
	complete_line "outboard $verb"
	check "$last: not offered" grep -qx -- "$verb" "$work/out"
	[ "$verb" != trace ] || continue
	for option in $("$OUTBOARD" "$verb" --help | grep -o -- '^ *\(-[a-z], \)\?--[a-z-]*' | grep -o -- '--[a-z-]*'); do
		complete_line "outboard $verb $option"
		check "$last: not offered" grep -qx -- "$option" "$work/out"
	done
done
for command in info respond capture generate forward bridge; do
	for option in $("$OUTBOARD" net "$command" --help | grep -o -- '^ *--[a-z-]*'); do
		complete_line "outboard net $command $option"
		check "$last: not offered" grep -qx -- "$option" "$work/out"
	done
done
finish
