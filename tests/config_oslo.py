"""Reads configuration files with oslo.config, for tests/config_oslo.rs.

Argument: a directory. Each of its files case-N.conf is read twice: by oslo.config's own parser, and as the configuration
of a program with the options below. The answers go to standard output as one JSON document.
"""

import json
import os
import sys

from oslo_config import cfg
from oslo_config import types

# The same options as in glance-api.conf, one for each type.
DEFAULT = [
    cfg.IntOpt('backlog', default=4096, min=1),
    cfg.PortOpt('bind_port', default=9292),
    cfg.BoolOpt('debug', default=False),
    cfg.StrOpt('public_endpoint'),
    cfg.StrOpt('property_protection_rule_format', default='roles', choices=['roles', 'policies']),
    cfg.ListOpt('disabled_notifications', default=[]),
    cfg.StrOpt('log_file', deprecated_name='logfile'),
]
OTHERS = {
    'glance_store': [
        cfg.StrOpt('filesystem_store_datadir', default='/var/lib/glance/images'),
        cfg.DictOpt('http_proxy_information', default={}),
    ],
    'image_format': [
        cfg.ListOpt('disk_formats', default=['raw'],
                    deprecated_opts=[cfg.DeprecatedOpt('disk_formats', group='DEFAULT')]),
    ],
    'import_filtering_opts': [
        cfg.ListOpt('allowed_schemes', item_type=types.String(quotes=True), bounds=True, default=['http']),
        cfg.ListOpt('allowed_ports', item_type=types.Integer(min=1, max=65535), bounds=True, default=[80]),
    ],
    'oslo_policy': [cfg.MultiStrOpt('policy_dirs')],
    'oslo_messaging_rabbit': [cfg.FloatOpt('kombu_reconnect_delay', default=1.0, min=0.0, max=4.5)],
}


def sections(path):
    """What the parser makes of a file: section, key, values; or the line and the words of its error."""
    found = {}
    parser = cfg.ConfigParser(path, found)
    try:
        parser.parse()
    except cfg.ParseError as error:
        return {'line': error.lineno, 'message': error.msg}
    return {'sections': found}


def options(path):
    """The value of each option, or None where it is refused."""
    conf = cfg.ConfigOpts()
    conf.register_opts(DEFAULT)
    for group, opts in OTHERS.items():
        conf.register_opts(opts, group=group)
    try:
        conf(['--config-file', path], project='none', default_config_files=[], default_config_dirs=[])
    except cfg.Error:
        return None
    values = {}
    for group, opts in [('DEFAULT', DEFAULT), *OTHERS.items()]:
        for opt in opts:
            try:
                value = conf[opt.dest] if group == 'DEFAULT' else conf[group][opt.dest]
                values[f'{group}.{opt.dest}'] = {'value': list(value.items()) if isinstance(value, dict) else value}
            except (cfg.Error, ValueError, RecursionError, AttributeError):
                values[f'{group}.{opt.dest}'] = {'error': True}
    return values


def main():
    directory = sys.argv[1]
    names = sorted(name for name in os.listdir(directory) if name.endswith('.conf'))
    paths = {name: os.path.join(directory, name) for name in names}
    json.dump({name: {'parsed': sections(path), 'options': options(path)} for name, path in paths.items()}, sys.stdout)


if __name__ == '__main__':
    main()
