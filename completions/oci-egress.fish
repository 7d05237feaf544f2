# SPDX-License-Identifier: Apache-2.0
# fish completion for oci-egress: what --help says, so that it knows whatever the program does.

function __oci_egress_command
	for word in (commandline -opc)[2..-1]
		if not string match -q -- '-*' $word
			echo $word
			return 0
		end
	end
	return 1
end

function __oci_egress_program
	set -l words (commandline -opc)
	echo $words[1]
end

function __oci_egress_commands
	set -l program (__oci_egress_program)
	$program --help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\)  *\(.*\)/\1\t\2/p'
end

function __oci_egress_options
	set -l program (__oci_egress_program)
	set -l command (__oci_egress_command)
	$program $command --help 2>/dev/null | sed -n 's/^  \(--[a-z-]*\) [^ ]*  *\(.*\)/\1\t\2/p'
	printf '%s\t%s\n' --help 'say more'
end

function __oci_egress_operands
	set -l program (__oci_egress_program)
	set -l command (__oci_egress_command)
	$program $command --help 2>/dev/null | sed -n '1s/.*\[OPTION\.\.\.\]//; 1s/[]|[]/ /g; 1s/ [-A-Z][^ ]*//g; 1p' | string split -n ' '
end

# What the option before takes: FILE, DIR or anything else; nothing where it is a flag, or no option.
function __oci_egress_argument
	set -l words (commandline -opc)
	string match -qr -- '^--[a-z-]+$' $words[-1]
	and $words[1] (__oci_egress_command) --help 2>/dev/null | sed -n "s/^  $words[-1] \([^ ]*\) .*/\1/p"
end

function __oci_egress_takes_word
	__oci_egress_command >/dev/null
	and test -z "$(__oci_egress_argument)"
end

complete -c oci-egress -f
complete -c oci-egress -n 'not __oci_egress_command >/dev/null' -a '(__oci_egress_commands)'
complete -c oci-egress -n 'not __oci_egress_command >/dev/null' -a '--help --version'
complete -c oci-egress -n 'contains -- (__oci_egress_argument) FILE DIR' -F
complete -c oci-egress -n __oci_egress_takes_word -a '(__oci_egress_options)'
complete -c oci-egress -n __oci_egress_takes_word -a '(__oci_egress_operands)'
