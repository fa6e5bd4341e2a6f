//! The files of the dashboard. They are part of the program: it works offline, and under a policy that allows nothing else.

use http::Response;

use crate::reply;
use crate::reply::body::Body;

/// The names of all files.
pub(crate) const NAMES: [&str; 3] = ["style.css", "script.js", "icon.svg"];

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/script.js");
const ICON: &str = include_str!("assets/icon.svg");

/// Where a file is found. The address changes with the content, so that browsers may keep what they have.
pub(super) fn address(name: &str) -> String {
    let content = match name {
        "style.css" => STYLE,
        "script.js" => SCRIPT,
        _ => ICON,
    };
    format!("/assets/{name}?v={:08x}", crc32fast::hash(content.as_bytes()))
}

/// A file by its name.
pub(super) fn asset(name: &str) -> Response<Body> {
    let (content_type, content) = match name {
        "style.css" => ("text/css; charset=utf-8", STYLE),
        "script.js" => ("text/javascript; charset=utf-8", SCRIPT),
        _ => ("image/svg+xml", ICON),
    };
    reply::asset(content_type, content)
}
