//! JSON patch, merge patch, strategic merge patch and server-side apply on plain JSON values.
