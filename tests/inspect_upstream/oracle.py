"""Judges images as Glance does around oslo.utils (glance/location.py, ImageProxy.set_data).

Reads a JSON object per line: base (a path), cut (bytes to keep), edits ([[offset, byte], ...]), claims, options. Answers each with
a line: the formats found, and a verdict for each option and claim.
"""
import io
import json
import logging
import sys

from oslo_utils.imageutils import format_inspector as fi

logging.disable(logging.CRITICAL)

# A text that is not ASCII throughout makes upstream trip over a missing attribute, which lets any image pass uninspected.
fi.VMDKInspector.vmdktype = 'formatnotfound'

I64 = 1 << 63
ORDER = list(fi.ALL_FORMATS)
bases = {}


def inspect(data):
    source = fi.InspectWrapper(io.BytesIO(data))
    while source.read(64 * 1024):
        pass
    source.close()
    for inspector in source._inspectors:
        # An inspector that gave up stops counting, depending on how the stream was cut.
        inspector._total_count = len(data)
    return source


def size(inspector, require):
    try:
        return max(inspector.virtual_size, 0)
    except Exception:
        # Ours looks whether the image is safe all the same.
        if require:
            raise
        return 0


def describe(inspector):
    try:
        value = str(max(inspector.virtual_size, 0))
    except Exception:
        value = 'broken'
    failures = []
    if inspector.complete:
        try:
            inspector.safety_check()
        except fi.SafetyCheckFailed as e:
            failures = ['%s: %s' % item for item in e.failures.items()]
    return [str(inspector), inspector.complete, value, failures]


def verdict(data, matches, claim, require, nonfatal):
    virtual_size = 0
    try:
        found = {str(i): i for i in matches}
        if found.keys() == {'iso', 'gpt'}:
            inspector = found['iso']
        else:
            inspector = data.format
        name = str(inspector)
        if name == claim:
            virtual_size = size(inspector, require)
        elif name == 'raw' and claim not in fi.ALL_FORMATS:
            pass
        elif claim == 'raw':
            data.format
            virtual_size = inspector.actual_size
        else:
            raise fi.ImageFormatError('Image disk_format %s does not match stream data %s' % (claim, name))
        inspector.safety_check()
        if virtual_size >= I64:
            raise OverflowError('the database has no room for it')
    except fi.ImageFormatError as e:
        if require:
            text = str(e)
            head, colon, names = text.partition(': ')
            if head == 'Multiple formats detected':
                text = head + colon + ','.join(sorted(names.split(','), key=ORDER.index))
            return text
    except fi.SafetyCheckFailed as e:
        if inspector.NAME != 'gpt' or e.failures.keys() - set(nonfatal):
            return 'Image failed safety checks'
    except Exception:
        if require:
            return 'Image format inspection failed'
    return virtual_size if 0 < virtual_size < I64 else None


for line in sys.stdin:
    case = json.loads(line)
    base = bases.get(case['base'])
    if base is None:
        with open(case['base'], 'rb') as f:
            base = bases[case['base']] = f.read()
    image = bytearray(base[:case['cut']])
    for at, byte in case['edits']:
        if at < len(image):
            image[at] = byte
    data = inspect(bytes(image))
    matches = sorted(data.formats, key=lambda i: ORDER.index(str(i)))
    answer = {
        'formats': [describe(i) for i in matches],
        'verdicts': [verdict(data, matches, claim, require, nonfatal)
                     for require, nonfatal in case['options'] for claim in case['claims']],
    }
    print(json.dumps(answer), flush=True)
