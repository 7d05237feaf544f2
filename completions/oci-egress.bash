# SPDX-License-Identifier: Apache-2.0
# bash completion for oci-egress: what --help says, so that it knows whatever the program does.

_oci_egress()
{
	local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local command='' help words i
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-*) ;;
		*)
			command=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	if [ -z "$command" ]; then
		words="$("$program" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p') --help --version"
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
		return
	fi

	help=$("$program" "$command" --help 2>/dev/null) || return
	if [[ $before == --* ]]; then
		case $(sed -n "s/^  ${before//[^a-z-]/} \([^ ]*\) .*/\1/p" <<<"$help") in
		'') ;;
		FILE | DIR)
			mapfile -t COMPREPLY < <(compgen -f -- "$current")
			return
			;;
		*) return ;;
		esac
	fi
	case $current in
	-*) words="$(sed -n 's/^  \(--[a-z-]*\) .*/\1/p' <<<"$help") --help" ;;
	*) words=$(sed -n '1s/.*\[OPTION\.\.\.\]//; 1s/[]|[]/ /g; 1s/ [-A-Z][^ ]*//g; 1p' <<<"$help") ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -o filenames -F _oci_egress oci-egress
