# glance-cache-pruner, glance-cache-cleaner and glance-cache-prefetcher have the same options.
begin
    set -l program
    for program in glance-cache-{pruner,cleaner,prefetcher}
        complete -c $program -f
        complete -c $program -l config-file -r -F -d 'Configuration file'
        complete -c $program -l config-dir -x -a '(__fish_complete_directories)' -d 'Directory whose *.conf files are read'
        complete -c $program -s d -l debug -d 'As for glance-api'
        complete -c $program -l nodebug -d 'As for glance-api'
        complete -c $program -l log-file -r -F -d 'As for glance-api'
        complete -c $program -l log-dir -x -d 'As for glance-api'
        complete -c $program -l log-config-append -r -F -d 'As for glance-api'
        complete -c $program -l log-date-format -x -d 'As for glance-api'
        complete -c $program -l use-journal -d 'As for glance-api'
        complete -c $program -l nouse-journal -d 'As for glance-api'
        complete -c $program -l use-json -d 'As for glance-api'
        complete -c $program -l nouse-json -d 'As for glance-api'
        complete -c $program -l use-syslog -d 'As for glance-api'
        complete -c $program -l nouse-syslog -d 'As for glance-api'
        complete -c $program -l syslog-log-facility -x -d 'As for glance-api'
        complete -c $program -s h -l help -d 'Print help'
        complete -c $program -s V -l version -d 'Print the version'
    end
end
