# Completion of tandem(8) for bash.
_tandem_names()
{
	tandem status --json "$@" 2>/dev/null | sed -n 's/^ \{6\}"name": "\(.*\)",$/\1/p; s/^ \{10\}"name": "\(.*\)",$/\1/p'
}

_tandem()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= socket=() options=--json i
	local verbs="run check status watch metrics up down rekey failover reload version help"

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s|--socket)
			socket=(--socket "${COMP_WORDS[++i]}");;
		-c|--config)
			((i++));;
		-*)
			;;
		*)
			verb=${verb:-${COMP_WORDS[i]}};;
		esac
	done
	case $prev in
	-c|--config|-s|--socket)
		COMPREPLY=($(compgen -f -- "$cur"))
		return;;
	esac
	case $verb in
	run) options+=" --socket --config";;
	check) options+=" --socket --config --keys";;
	rekey) options+=" --socket --ike";;
	failover) options+=" --socket --auto";;
	help) options=;;
	'') options+=" --socket --config --help --version";;
	*) options+=" --socket";;
	esac
	case $verb/$cur in
	*/-*)
		COMPREPLY=($(compgen -W "$options" -- "$cur"));;
	/*)
		COMPREPLY=($(compgen -W "$verbs" -- "$cur"));;
	check/*)
		COMPREPLY=($(compgen -f -- "$cur"));;
	status/*)
		COMPREPLY=($(compgen -W "$(_tandem_names "${socket[@]}" | grep -v /)" -- "$cur"));;
	up/*|down/*|rekey/*|failover/*)
		COMPREPLY=($(compgen -W "$(_tandem_names "${socket[@]}")" -- "$cur"));;
	esac
}
complete -F _tandem tandem
