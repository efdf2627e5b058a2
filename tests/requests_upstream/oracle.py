"""Reads requests as Glance does.

Takes a JSON object per line and answers each with a line: {"error": [status, text]} or what was understood. The kinds are
patch (media_type, body), create (body) and list (query).
"""
import json
import sys
import warnings

warnings.simplefilter('ignore')

from glance.common import config  # noqa: F401 registers the options
from glance.common import exception
from glance.common import wsgi
from glance.api.v2 import images
from glance.db.sqlalchemy import api as db
import webob.exc

deserializer = images.RequestDeserializer()


def request(path, method, body=None, media_type='application/json'):
    made = wsgi.Request.blank(path, method=method)
    if body is not None:
        made.body = json.dumps(body).encode()
        made.headers['Content-Type'] = media_type
    return made


def patch(case):
    changes = deserializer.update(request('/v2/images/x', 'PATCH', case['body'], case['media_type']))['changes']
    return [[c['op'], c['path'], c.get('value')] for c in changes]


def create(case):
    deserializer.create(request('/v2/images', 'POST', case['body']))
    return 'valid'


def condition(expression):
    operator = {'in_op': 'in'}.get(expression.operator.__name__, expression.operator.__name__)
    value = expression.right.value
    if hasattr(value, 'isoformat'):
        value = value.isoformat()
    return [expression.left.key, operator, value if isinstance(value, (list, int)) else str(value)]


def list_(case):
    params = deserializer.index(request('/v2/images?' + case['query'], 'GET'))
    filters = params['filters']
    filters['deleted'] = False
    os_hidden = filters.get('os_hidden', 'false').lower()
    if os_hidden not in ['true', 'false']:
        raise webob.exc.HTTPBadRequest(explanation="Invalid value '%s' for 'os_hidden' filter."
                                       " Valid values are 'true' or 'false'." % os_hidden)
    filters['os_hidden'] = os_hidden == 'true'
    protected = filters.get('protected')
    if protected is not None:
        if protected not in ['true', 'false']:
            raise webob.exc.HTTPBadRequest(explanation="Invalid value '%s' for 'protected' filter."
                                           " Valid values are 'true' or 'false'." % protected)
        filters['protected'] = protected == 'true'
    visibility = filters.pop('visibility', None)
    try:
        conditions, properties, tags = db._make_conditions_from_filters(filters)
    except (exception.InvalidFilterRangeValue, exception.InvalidParameterValue,
            exception.InvalidFilterOperatorValue) as e:
        raise webob.exc.HTTPBadRequest(explanation=e.msg)
    if any(isinstance(c, bool) for c in conditions):
        raise TypeError('a filter on what is no column')
    plain = [c for c in conditions if c.left.key not in ('os_hidden', 'protected', 'deleted')]
    # The condition that leaves out killed images.
    found = [c for c in map(condition, plain) if c[:2] != ['status', 'in'] or 'saving' not in c[2]]
    found += [['property', c[1].right.value, str(c[2].right.value)] for _alias, c in properties]
    return {
        'limit': params.get('limit'),
        'marker': params.get('marker'),
        'member_status': params['member_status'],
        'visibility': visibility,
        'hidden': filters['os_hidden'],
        'protected': filters.get('protected'),
        'tags': [c[1].right.value for _alias, c in tags],
        'sort': [params['sort_key'], params['sort_dir']],
        'filters': sorted(found, key=lambda c: json.dumps(c, separators=(',', ':'), ensure_ascii=False)),
    }


for line in sys.stdin:
    case = json.loads(line)
    try:
        answer = {'patch': patch, 'create': create, 'list': list_}[case['kind']](case)
    except webob.exc.HTTPError as e:
        answer = {'error': [e.status_int, e.explanation]}
    except UnicodeDecodeError:
        answer = {'error': [400, 'Error decoding your request. Either the URL or the request body contained characters '
                                 'that could not be decoded by Glance']}
    except Exception as e:
        answer = {'failure': repr(e)}
    print(json.dumps(answer), flush=True)
