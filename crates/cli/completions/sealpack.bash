# Completions of sealpack for bash, which takes words apart at colons and equals signs, though names of images have them.
_sealpack() {
    local words=() line=${COMP_LINE:0:COMP_POINT} index piece rest
    for ((index = 0; index <= COMP_CWORD; index++)); do
        rest=${line#"${line%%[![:space:]]*}"}
        # The piece that is completed ends where the cursor is.
        piece=${COMP_WORDS[index]}
        ((index < COMP_CWORD)) || piece=$rest
        if ((index > 0)) && [[ $rest == "$line" ]]; then
            words[${#words[@]} - 1]+=$piece
        else
            words+=("$piece")
        fi
        line=${rest#"$piece"}
    done
    local word=${words[${#words[@]} - 1]} candidate
    COMPREPLY=()
    while IFS= read -r -d $'\v' candidate || [[ $candidate ]]; do
        COMPREPLY+=("$candidate")
    done < <(_CLAP_IFS=$'\v' _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1)) _CLAP_COMPLETE_SPACE=true _CLAP_COMPLETE_COMP_TYPE=9 \
        SEALPACK_COMPLETE=bash sealpack -- "${words[@]}" 2>/dev/null)
    # What stands before the last of these is a word of its own to bash, and stays.
    local breaks=${COMP_WORDBREAKS//[!:=]/}
    if [[ $breaks && $word == *["$breaks"]* ]]; then
        local before=${word%"${word##*["$breaks"]}"}
        COMPREPLY=("${COMPREPLY[@]#"$before"}")
    fi
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[=/:] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o bashdefault -F _sealpack sealpack
