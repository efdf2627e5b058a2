# bash completion for glance-manage

_glance_manage() {
    local cur prev word command= actions='check contract expand export_metadefs load_metadefs migrate purge purge_images_table sync unload_metadefs upgrade version version_control'
    cur=${COMP_WORDS[COMP_CWORD]}
    prev=${COMP_WORDS[COMP_CWORD - 1]}
    case $prev in
    --config-file | --log-file | --log-config-append | --path)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --config-dir | --log-dir)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    --log-date-format | --syslog-log-facility | --age_in_days | --max_rows) return ;;
    db)
        mapfile -t COMPREPLY < <(compgen -W "$actions" -- "$cur")
        return
        ;;
    esac
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $word == db || $word == db_* ]] && command=$word
    done
    if [[ $command ]]; then
        mapfile -t COMPREPLY < <(compgen -W '--version --age_in_days --max_rows --path --merge --prefer_new --overwrite --help' -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -W 'db db_check db_contract db_expand db_export_metadefs db_load_metadefs db_migrate db_sync
            db_unload_metadefs db_upgrade db_version
            db_version_control --config-file --config-dir --debug --nodebug --log-file --log-dir --log-config-append
            --log-date-format --use-journal --nouse-journal --use-json --nouse-json --use-syslog --nouse-syslog
            --syslog-log-facility --help --version' -- "$cur")
    fi
}

complete -F _glance_manage glance-manage
