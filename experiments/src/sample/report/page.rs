//! The page around the contents, and what it is built from: sections, tables, cards.

use crate::plot::escaped;

/// Colours by the reader's choice of light or dark; pictures stand on white. Wide tables scroll within the page.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--quiet:#5b6572;--paper:#fff;--card:#f3f5f8;--line:#d9dee5;\
--good:#0a7a55;--doubt:#9a5b00;--bad:#b3261e}\
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ee;--quiet:#9aa5b3;--paper:#14171b;--card:#1e2329;--line:#343b45;\
--good:#4cc38a;--doubt:#f0a93b;--bad:#ff7b72}}\
*{box-sizing:border-box}\
body{margin:0 auto;max-width:64rem;padding:1.25rem 1rem 4rem;background:var(--paper);color:var(--ink);\
font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',Arial,sans-serif;overflow-wrap:break-word}\
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0 0}\
h2{font-size:1.15rem;margin:2.2rem 0 .6rem;padding-top:.9rem;border-top:1px solid var(--line)}\
p{margin:.5rem 0}.quiet,figcaption{color:var(--quiet)}\
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.6rem;margin:1rem 0 0;padding:0}\
.cards div{background:var(--card);border-radius:.5rem;padding:.6rem .8rem}\
.cards dt{color:var(--quiet);font-size:.82rem}.cards dd{margin:0;font-size:1.12rem;font-variant-numeric:tabular-nums}\
.verdict{list-style:none;margin:0;padding:0}\
.verdict li{display:flex;gap:.75rem;margin:.5rem 0;padding:.6rem .8rem;background:var(--card);border-radius:.5rem;\
border-left:.3rem solid var(--good)}\
.verdict b{flex:0 0 3.2rem;color:var(--good)}.verdict span{min-width:0}\
.verdict .doubt{border-color:var(--doubt)}.verdict .doubt b{color:var(--doubt)}\
.verdict .bad{border-color:var(--bad)}.verdict .bad b{color:var(--bad)}\
.scroll{overflow-x:auto;margin:.6rem 0}\
table{border-collapse:collapse;width:100%;font-size:.92rem}\
th,td{text-align:left;vertical-align:top;padding:.32rem .9rem .32rem 0;border-bottom:1px solid var(--line)}\
th{color:var(--quiet);font-weight:600;white-space:nowrap}\
td{font-variant-numeric:tabular-nums;white-space:nowrap}td:last-child{white-space:normal;min-width:11rem;padding-right:0}\
figure{margin:1rem 0;padding:0}.tight td:last-child{white-space:nowrap}\
.wide{overflow-x:auto}.wide svg{max-width:none;min-width:58rem}\
figure svg{display:block;width:100%;max-width:48rem;height:auto;background:#fff;\
border:1px solid var(--line);border-radius:.5rem}figcaption{font-size:.88rem;margin-top:.3rem}\
details{margin:.6rem 0}summary{cursor:pointer}\
pre{overflow-x:auto;background:var(--card);padding:.8rem;border-radius:.5rem;font-size:.82rem;line-height:1.4}\
@media print{body{max-width:none}figure,.verdict li{break-inside:avoid}}";

/// The whole file.
pub(super) fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n",
        escaped(title)
    )
}

/// A part with a heading; `body` is HTML.
pub(super) fn section(heading: &str, body: &str) -> String {
    format!("<section><h2>{}</h2>\n{body}</section>\n", escaped(heading))
}

/// Names with short values.
pub(super) fn cards(all: &[(&str, String)]) -> String {
    let one = |(name, value): &(&str, String)| {
        format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escaped(name), escaped(value))
    };
    format!("<dl class=\"cards\">\n{}</dl>\n", all.iter().map(one).collect::<String>())
}

/// A table; the header is HTML, or empty for none, cells are text.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |row: &[String]| row.iter().map(|c| format!("<td>{}</td>", escaped(c))).collect::<String>();
    let body: String = rows.iter().map(|row| format!("<tr>{}</tr>\n", cells(row))).collect();
    let head: String = header.iter().map(|h| format!("<th>{h}</th>")).collect();
    let head = match header.iter().all(|h| h.is_empty()) {
        true => String::new(),
        false => format!("<thead><tr>{head}</tr></thead>\n"),
    };
    format!("<div class=\"scroll\"><table>{head}<tbody>{body}</tbody></table></div>\n")
}

/// The same where no cell may be broken.
pub(super) fn tight(header: &[&str], rows: &[Vec<String>]) -> String {
    table(header, rows).replacen("<table>", "<table class=\"tight\">", 1)
}

/// What names stand for, as a table.
pub(super) fn listed(lines: &[(&str, &str)]) -> String {
    let rows: Vec<Vec<String>> =
        lines.iter().map(|(name, what)| vec![name.to_string(), what.to_string()]).collect();
    table(&["", ""], &rows)
}
