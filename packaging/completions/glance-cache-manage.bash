# bash completion for glance-cache-manage

_glance_cache_manage() {
    local cur prev commands
    cur=${COMP_WORDS[COMP_CWORD]}
    prev=${COMP_WORDS[COMP_CWORD - 1]}
    commands='list-cached list-queued queue-image delete-cached-image delete-all-cached-images delete-queued-image
        delete-all-queued-images'
    case $prev in
    --config-file)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --config-dir)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    --os-auth-strategy | -S)
        mapfile -t COMPREPLY < <(compgen -W 'keystone noauth' -- "$cur")
        return
        ;;
    help)
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
        return
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "help $commands --verbose --debug --host --port --insecure --force --stats --config-file
        --config-dir --os-auth-token --os-username --os-password --os-region-name --os-project-id --os-project-name
        --os-user-domain-id --os-project-domain-id --os-domain-id --os-auth-url --os-auth-strategy --help --version" -- "$cur")
}

complete -F _glance_cache_manage glance-cache-manage
