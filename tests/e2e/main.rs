//! What proxq promises, seen from outside: the real server, a scripted upstream, plain HTTP. A file a promise.
