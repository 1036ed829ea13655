//! Reading pages and fragments as text: just enough to see rows, fields and words.

/// A row of a room's list, as a page or fragment has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub seq: u64,
    pub prev: u64,
    pub author: String,
    pub kind: String,
    /// What a person reads in it: no tags, no escapes.
    pub text: String,
    /// The bytes as they came.
    pub html: String,
}

/// Every row, from top to bottom.
pub fn rows(html: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    // Templates hold an example row; it is not in the list.
    let shown = without(html, "<template", "</template>");
    for piece in shown.split("<article ").skip(1) {
        let (piece, _) = piece.split_once("</article>").unwrap_or((piece, ""));
        let (tag, inside) = piece.split_once('>').unwrap_or((piece, ""));
        let number = |name| attribute(tag, name).and_then(|text| text.parse().ok()).unwrap_or(0);
        rows.push(Row {
            id: attribute(tag, "id").unwrap_or_default(),
            seq: number("data-seq"),
            prev: number("data-prev"),
            author: attribute(tag, "data-author").unwrap_or_default(),
            kind: attribute(tag, "data-kind").unwrap_or_default(),
            text: body(inside),
            html: piece.to_owned(),
        });
    }
    rows
}

/// The text of the element of class `body`, or all of the row where it has none.
fn body(row: &str) -> String {
    let Some((_, after)) = row.split_once("<div class=\"body") else { return text(row) };
    let (_, after) = after.split_once('>').unwrap_or(("", after));
    let (inside, _) = after.rsplit_once("</div>").unwrap_or((after, ""));
    text(inside)
}

/// The first value of an attribute, unescaped.
pub fn attribute(html: &str, name: &str) -> Option<String> {
    let wanted = format!("{name}=\"");
    let mut rest = html;
    loop {
        let at = rest.find(&wanted)?;
        let is_whole_name = rest[..at].chars().next_back().is_none_or(char::is_whitespace);
        let value = &rest[at + wanted.len()..];
        if is_whole_name {
            return Some(unescape(value.split('"').next().unwrap_or_default()));
        }
        rest = value;
    }
}

/// The page's title.
pub fn title(html: &str) -> String {
    let after = html.split_once("<title>").map_or("", |(_, after)| after);
    unescape(after.split("</title>").next().unwrap_or_default())
}

/// The value of the form's field with this name.
pub fn field(html: &str, name: &str) -> Option<String> {
    let at = html.find(&format!("name=\"{name}\""))?;
    let start = html[..at].rfind('<')?;
    let tag = html[start..].split('>').next()?;
    attribute(tag, "value")
}

/// What a person reads: no tags, no escapes.
pub fn text(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        rest = after.split_once('>').map_or("", |(_, rest)| rest);
    }
    out.push_str(rest);
    unescape(&out)
}

fn without(html: &str, from: &str, to: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once(from) {
        out.push_str(before);
        rest = after.split_once(to).map_or("", |(_, rest)| rest);
    }
    out.push_str(rest);
    out
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (name, behind) = after.split_once(';').unwrap_or((after, ""));
        match entity(name) {
            Some(c) => {
                out.push(c);
                rest = behind;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_from_its_html() {
        let html = r#"<template><article class="row" id="no"></article></template>
            <article class="row" id="a-1" data-seq="7" data-prev="5" data-author="u" data-kind="message">
            <bdi class="who">A</bdi><div class="body long" dir="auto">1 &lt; 2 &amp;&#38; <a href="x">y</a></div><time>10:00</time></article>"#;
        let rows = rows(html);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].id.as_str(), rows[0].seq, rows[0].prev), ("a-1", 7, 5));
        assert_eq!(rows[0].text, "1 < 2 && y");
    }

    #[test]
    fn a_field_keeps_what_was_typed() {
        let html = r#"<input id="name" name="name" value="&quot;&gt;&#39;x"><input name="next" value="/">"#;
        assert_eq!(field(html, "name").as_deref(), Some("\">'x"));
        assert_eq!(field(html, "next").as_deref(), Some("/"));
        assert_eq!(field(html, "none"), None);
    }
}
