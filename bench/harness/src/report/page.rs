//! A page, and how it is written: as Markdown for docs/results, as HTML in one file with its plots.

use std::fmt::Write as _;

/// A piece of a page.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Block {
    Heading(usize, String),
    Paragraph(String),
    List(Vec<String>),
    /// Commands to type.
    Code(Vec<String>),
    Table(Table),
    /// Shown where pictures are: in HTML.
    Plot {
        title: String,
        caption: String,
        svg: String,
    },
    /// Rows that few read: folded away in HTML, left out of Markdown.
    Details(String, Table),
}

/// Text in rows; the first column is a name, the others are figures.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Table {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// For docs/results.
pub(super) fn markdown(blocks: &[Block]) -> String {
    let mut text = String::new();
    for block in blocks {
        match block {
            Block::Heading(level, title) => _ = writeln!(text, "{} {title}\n", "#".repeat(*level)),
            Block::Paragraph(words) => _ = writeln!(text, "{words}\n"),
            Block::List(items) => {
                for item in items {
                    _ = writeln!(text, "- {}", item.replace('\n', "\n  "));
                }
                text.push('\n');
            }
            Block::Code(lines) => _ = writeln!(text, "```sh\n{}\n```\n", lines.join("\n")),
            Block::Table(table) => {
                row(&mut text, &table.head);
                _ = writeln!(text, "{}|", "|---".repeat(table.head.len()));
                table.rows.iter().for_each(|cells| row(&mut text, cells));
                text.push('\n');
            }
            Block::Plot { .. } | Block::Details(..) => {}
        }
    }
    text
}

fn row(text: &mut String, cells: &[String]) {
    for cell in cells {
        _ = write!(text, "| {} ", cell.replace('|', "\\|").replace('\n', " "));
    }
    text.push_str("|\n");
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}\
h1{font-size:1.6rem}h2{font-size:1.3rem;margin-top:2.4rem;border-top:1px solid #ddd;padding-top:1rem}h3{font-size:1.05rem}\
p{margin:.4rem 0}.of{color:#666}table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}\
td,th{padding:.15rem .9rem .15rem 0;text-align:right;font-weight:normal;vertical-align:top}\
td:first-child,th:first-child{text-align:left}th{color:#666;border-bottom:1px solid #ddd}\
pre{background:#f6f6f6;padding:.6rem;overflow-x:auto}svg{max-width:100%;height:auto}summary{cursor:pointer;color:#666}";

/// One file; nothing is loaded from elsewhere.
pub(super) fn html(blocks: &[Block]) -> String {
    let title = blocks.iter().find_map(|block| match block {
        Block::Heading(1, title) => Some(escape(title)),
        _ => None,
    });
    let title = title.unwrap_or_default();
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>{STYLE}</style></head><body>\n"
    );
    for block in blocks {
        match block {
            Block::Heading(level, title) => _ = writeln!(html, "<h{level}>{}</h{level}>", escape(title)),
            Block::Paragraph(words) => _ = writeln!(html, "<p>{}</p>", escape(words)),
            Block::List(items) => {
                html.push_str("<ul>\n");
                items.iter().for_each(|item| _ = writeln!(html, "<li>{}</li>", escape(item)));
                html.push_str("</ul>\n");
            }
            Block::Code(lines) => _ = writeln!(html, "<pre>{}</pre>", escape(&lines.join("\n"))),
            Block::Table(table) => html_table(&mut html, table),
            Block::Plot { title, caption, svg } => {
                let (title, caption) = (escape(title), escape(caption));
                _ = writeln!(html, "<h3>{title}</h3>\n<p class=\"of\">{caption}</p>\n{svg}");
            }
            Block::Details(title, table) => {
                _ = writeln!(html, "<details><summary>{}</summary>", escape(title));
                html_table(&mut html, table);
                html.push_str("</details>\n");
            }
        }
    }
    html + "</body></html>\n"
}

fn html_table(html: &mut String, table: &Table) {
    html.push_str("<table>\n");
    for (tag, cells) in
        std::iter::once(("th", &table.head)).chain(table.rows.iter().map(|cells| ("td", cells)))
    {
        html.push_str("<tr>");
        cells.iter().for_each(|cell| _ = write!(html, "<{tag}>{}</{tag}>", escape(cell)));
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_the_same_in_markdown_and_in_html() {
        let blocks = [
            Block::Heading(1, "A & B".into()),
            Block::Paragraph("x < y".into()),
            Block::List(vec!["one".into()]),
            Block::Code(vec!["run p1a".into()]),
            Block::Table(Table {
                head: vec!["Name".into(), "1|2".into()],
                rows: vec![vec!["a".into(), "3".into()]],
            }),
            Block::Plot { title: "P".into(), caption: "C".into(), svg: "<svg/>".into() },
        ];
        let text =
            "# A & B\n\nx < y\n\n- one\n\n```sh\nrun p1a\n```\n\n| Name | 1\\|2 |\n|---|---|\n| a | 3 |\n\n";
        assert_eq!(markdown(&blocks), text);
        let html = html(&blocks);
        for piece in [
            "<title>A &amp; B</title>",
            "<p>x &lt; y</p>",
            "<li>one</li>",
            "<pre>run p1a</pre>",
            "<tr><th>Name</th><th>1|2</th></tr>",
            "<tr><td>a</td><td>3</td></tr>",
            "<svg/>",
        ] {
            assert!(html.contains(piece), "{piece} in {html}");
        }
        assert!(!html.contains("http"), "nothing is loaded from elsewhere");
    }
}
