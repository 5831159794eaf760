//! The page that holds the plots: one file, nothing loaded from elsewhere.

use std::fmt::Write;

use plotters::style::RGBColor;

use super::plots::{Plot, color};
use super::report::Report;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}\
h1{font-size:1.5rem}h2{font-size:1.1rem;margin:1.6rem 0 0}p{margin:.2rem 0}.of{color:#666}\
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.15rem .8rem .15rem 0;text-align:right;font-weight:normal}\
th{color:#666}svg{max-width:100%;height:auto}i{display:inline-block;width:.8em;height:.8em;margin-right:.4em}";

/// The page of a run.
pub(super) fn page(report: &Report, plots: &[Plot]) -> String {
    let mut html = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    let title = escape(&report.title);
    let _ = write!(html, "<title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n");
    let _ = writeln!(
        html,
        "<p class=\"of\">{}, seed {}: {:.3} s of virtual time</p>\n<table>",
        escape(&report.scenario),
        report.seed,
        report.seconds
    );
    for (i, row) in report.table().iter().enumerate() {
        let cell = if i == 0 { "th" } else { "td" };
        html.push_str("<tr>");
        for (column, text) in row.iter().enumerate() {
            let mark = match (i, column) {
                (1.., 0) => swatch(color(i - 1)),
                _ => String::new(),
            };
            let _ = write!(html, "<{cell}>{mark}{}</{cell}>", escape(text));
        }
        html.push_str("</tr>\n");
    }
    let _ = writeln!(html, "</table>\n<p>Fairness (Jain's index): {:.3}</p>", report.fairness);
    for line in report.paths() {
        let _ = writeln!(html, "<p>{}</p>", escape(&line));
    }
    for plot in plots {
        let _ = writeln!(html, "<h2>{}</h2>\n<p class=\"of\">{}</p>\n{}", plot.title, plot.caption, plot.svg);
    }
    html.push_str("</body></html>\n");
    html
}

fn swatch(RGBColor(red, green, blue): RGBColor) -> String {
    format!("<i style=\"background:rgb({red},{green},{blue})\"></i>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scenario_is_called_cannot_break_the_page() {
        assert_eq!(escape("a<b>&\"c\""), "a&lt;b&gt;&amp;&quot;c&quot;");
    }
}
