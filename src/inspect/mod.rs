//! What is really in an image: push parsers over the bytes of an upload which distrust every field.
