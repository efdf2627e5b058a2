//! HTTP as Glance speaks it: the pipeline around a request.
