# Completion of tandem(8) for bash.
_tandem()
{
	local cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} prev=${COMP_WORDS[COMP_CWORD-1]}

	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W "run check status watch metrics up down rekey failover reload version help" -- "$cur"))
		return
	fi
	case $prev in
	-c|--config|-s|--socket)
		COMPREPLY=($(compgen -f -- "$cur"))
		return;;
	esac
	case $cur in
	-*)
		COMPREPLY=($(compgen -W "--config --socket --json --ike --auto --keys --help" -- "$cur"));;
	*)
		case $verb in
		status|up|down|rekey|failover)
			COMPREPLY=($(compgen -W "$(tandem status --json 2>/dev/null | sed -n \
			    's/^ \{6\}"name": "\(.*\)",$/\1/p; s/^ \{10\}"name": "\(.*\)",$/\1/p')" -- "$cur"));;
		esac;;
	esac
}
complete -F _tandem tandem
