# bash completion for glance-cache-pruner, glance-cache-cleaner and glance-cache-prefetcher, which have the same options

_glance_cache_jobs() {
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
    esac
    mapfile -t COMPREPLY < <(compgen -W '--config-file --config-dir --debug --nodebug --log-file --log-dir
        --log-config-append --log-date-format --use-journal --nouse-journal --use-json --nouse-json --use-syslog --nouse-syslog
        --syslog-log-facility --help --version' -- "$cur")
}

complete -F _glance_cache_jobs glance-cache-pruner
complete -F _glance_cache_jobs glance-cache-cleaner
complete -F _glance_cache_jobs glance-cache-prefetcher
