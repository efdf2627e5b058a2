# bash completion for glance-api

_glance_api() {
    local cur prev
    cur=${COMP_WORDS[COMP_CWORD]}
    prev=${COMP_WORDS[COMP_CWORD - 1]}
    case $prev in
    --config-file | --log-file | --log-config-append)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --config-dir | --log-dir)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    --log-date-format) return ;;
    --syslog-log-facility)
        mapfile -t COMPREPLY < <(compgen -W 'LOG_DAEMON LOG_USER LOG_LOCAL0 LOG_LOCAL1 LOG_LOCAL2 LOG_LOCAL3 LOG_LOCAL4
            LOG_LOCAL5 LOG_LOCAL6 LOG_LOCAL7' -- "$cur")
        return
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W '--config-file --config-dir --check-config --create-indexes --debug --nodebug --log-file
        --log-dir --log-config-append --log-date-format --use-journal --nouse-journal --use-json --nouse-json --use-syslog --nouse-syslog
        --syslog-log-facility --help --version' -- "$cur")
}

complete -F _glance_api glance-api
