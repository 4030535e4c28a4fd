//! The Go template language and sprig, on minijinja.
