"""Answers policy questions with oslo.policy and Glance's own rules: one JSON document in, one out."""

import json
import logging
import sys
import warnings

from oslo_config import cfg
from oslo_context import context
from oslo_policy import policy

from glance import policies

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)


def enforcer(path, options):
    conf = cfg.ConfigOpts()
    conf([], project="nobody", default_config_files=[], default_config_dirs=[])
    made = policy.Enforcer(conf, policy_file=path, overwrite=False)
    for name, value in options.items():
        conf.set_override(name, value, group="oslo_policy")
    made.default_rule = conf.oslo_policy.policy_default_rule
    made.rules = policy.Rules({}, made.default_rule)
    made.suppress_deprecation_warnings = True
    made.register_defaults(policies.list_rules())
    return made


def answer(made, question):
    caller = context.RequestContext(**question["context"])
    target = caller.to_dict() if question["target"] is None else question["target"]
    try:
        return bool(made.enforce(question["rule"], target, caller))
    except Exception as error:
        return type(error).__name__


def default(rule):
    legacy = rule.deprecated_rule
    return {
        "name": rule.name,
        "check": rule.check_str,
        "scopes": rule.scope_types,
        "operations": [[one["method"], one["path"]] for one in getattr(rule, "operations", [])],
        "legacy": legacy and [legacy.check_str, legacy.deprecated_since],
        "leaving": rule.deprecated_since if rule.deprecated_for_removal else None,
    }


work = json.load(sys.stdin)
json.dump({
    "defaults": [default(rule) for rule in policies.list_rules()],
    "answers": [
        [answer(made, question) for question in batch["questions"]]
        for batch in work
        for made in [enforcer(batch["path"], batch["options"])]
    ],
}, sys.stdout)
