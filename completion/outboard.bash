# SPDX-License-Identifier: BSD-2-Clause
# bash completion for outboard(1). Names of devices are not offered: finding them would start the machine.

_outboard() {
	local cur prev words cword
	# Addresses and URIs have colons, at which bash cuts words.
	_init_completion -n =: || return
	local verbs="devices info read write bench serve net explore trace doctor bind unbind attach-help help"
	local global="--machine --qemu-arg --verbose --quiet --help"
	local verb= i

	# The verb is the first word that is neither an option nor an option's value; after trace another one follows.
	for ((i = 1; i < cword; i++)); do
		case ${words[i]} in
		-M | --machine | --qemu-arg | -o | --output | --events) ((i++)) ;;
		-*) ;;
		trace) verb=trace ;;
		*)
			verb=${words[i]}
			break
			;;
		esac
	done

	case $prev in
	-M | --machine)
		COMPREPLY=($(compgen -W "model: qemu:q35 qemu:virt vfio: vhost-user:" -- "$cur"))
		__ltrim_colon_completions "$cur"
		return
		;;
	--mode)
		COMPREPLY=($(compgen -W "interrupt polled hybrid" -- "$cur"))
		return
		;;
	--fault)
		COMPREPLY=($(compgen -S = -W "$("${words[0]}" explore --list-faults 2>/dev/null | cut -d' ' -f1)" -- "$cur"))
		compopt -o nospace 2>/dev/null
		return
		;;
	--strategy)
		COMPREPLY=($(compgen -W "swarm random pct" -- "$cur"))
		return
		;;
	--user)
		COMPREPLY=($(compgen -u -- "$cur"))
		return
		;;
	--root)
		_filedir -d
		return
		;;
	--unix | --output | -o | --replay-file | --faults | --coverage | --picture)
		_filedir
		return
		;;
	--offset | --count | --depth | --size | --mix | --time | --cpus | --channels | --port | --address | --device | \
		--run | --events | --qemu-arg | --seeds | --seed | --jobs | -j | --replay | --hash | --replay-check | \
		--snap | --channels | --rate | --to | --source | --destination | --flows | --tap)
		return
		;;
	esac

	local options=
	case $verb in
	"")
		COMPREPLY=($(compgen -W "$verbs $global --version" -- "$cur"))
		return
		;;
	trace)
		COMPREPLY=($(compgen -W "devices info read write bench --output --events $global" -- "$cur"))
		return
		;;
	help)
		COMPREPLY=($(compgen -W "$verbs" -- "$cur"))
		return
		;;
	devices) options="--verbose --json" ;;
	info) options="--json" ;;
	doctor) options="--json --root" ;;
	bind) options="--group --user" ;;
	unbind) options="--force" ;;
	read) options="--offset --count --depth" ;;
	write) options="--offset --count --depth --fua --flush" ;;
	bench)
		options="--depth --size --mix --random --sequential --time --cpus --channels --rate --mode --cpu-share --allow-writes --json"
		;;
	net)
		options="info respond capture generate forward bridge --address --count --time --mode --depth --json --discard"
		options="$options --snap --channels --own --size --rate --to --source --destination --port --flows --tap --no-offloads"
		COMPREPLY=($(compgen -W "$options $global" -- "$cur"))
		return
		;;
	explore)
		options="--list --seeds --seed --time --jobs --keep-going --strategy --calm --promises --fault --faults --list-faults --replay --hash --minimise --output --replay-file"
		options="$options --replay-check --picture --picture-events --coverage --trace --json"
		;;
	serve)
		options="nbd vhost-user --unix --port --address --run --device --read-only --cpus --mode --depth --queues"
		COMPREPLY=($(compgen -W "$options $global" -- "$cur"))
		return
		;;
	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$options $global" -- "$cur"))
	elif [[ $verb == doctor || $verb == bind || $verb == unbind ]]; then
		local devices=(/sys/bus/pci/devices/*)
		COMPREPLY=($(compgen -W "${devices[*]##*/}" -- "$cur"))
		__ltrim_colon_completions "$cur"
	elif [[ $verb == read || $verb == write ]]; then
		_filedir
	elif [[ $verb == explore ]]; then
		COMPREPLY=($(compgen -W "$("${words[0]}" explore --list 2>/dev/null | cut -d' ' -f1)" -- "$cur"))
	fi
}

complete -F _outboard outboard
