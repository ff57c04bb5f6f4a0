//! Tables as pictures: a bar for each row, in SVG, in the colours of the reader's theme.

use super::figures::Figure;
use super::goal::Goal;
use super::table::{Table, seconds};
use std::fmt::Write;

const WIDTH: usize = 760;
const NAMES_WIDTH: usize = 300;
const BARS_WIDTH: f64 = 340.0;
const LINE_HEIGHT: usize = 26;
const HEAD_HEIGHT: usize = 40;

/// Names of goals are sentences.
const GOALS_NAMES_WIDTH: usize = 470;
const GOALS_WIDTH: usize = 960;
/// How long the bar of a goal is that is just reached.
const ALLOWED_WIDTH: f64 = 200.0;
/// Longer ones are cut.
const CUT: f64 = 2.0;

/// Each has a ground of its own, since the reader's theme is not always that of the page.
const STYLE: &str = "<style>
text { fill: #1f2328 } .faint { fill: #59636e } .ground { fill: #ffffff } .ours { fill: #0969da } .others { fill: #afb8c1 }
.missed { fill: #bc4c00 } line { stroke: #59636e }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .faint { fill: #9198a1 } .ground { fill: #0d1117 } .ours { fill: #4493f8 } .others { fill: #656c76 }
.missed { fill: #db6d28 } line { stroke: #9198a1 }
}
</style>
";

/// The medians of a table's times, ours in another colour: those whose names begin with `sealpack`. `None` when there are no
/// rows.
pub(crate) fn svg(table: &Table) -> Option<String> {
    let medians: Vec<f64> = table.rows.iter().map(|row| row.median(Figure::Wall)).collect();
    let most = medians.iter().copied().fold(0.0, f64::max);
    if most <= 0.0 {
        return None;
    }
    let mut out = head(&table.title, WIDTH, medians.len());
    for (number, (row, median)) in table.rows.iter().zip(&medians).enumerate() {
        let class = if row.name.starts_with("sealpack") { "ours" } else { "others" };
        let length = (median / most * BARS_WIDTH).max(1.0);
        bar(&mut out, number, NAMES_WIDTH, (&row.name, class, length, &seconds(*median)));
    }
    out.push_str("</svg>\n");
    Some(out)
}

/// How much of what is allowed was measured of each goal: a bar that ends before the line is one that is reached. `None` when
/// there are no goals.
pub(crate) fn goals(goals: &[&Goal]) -> Option<String> {
    if goals.is_empty() {
        return None;
    }
    let mut out = head("Measured, as a part of what the goal allows", GOALS_WIDTH, goals.len());
    for (number, goal) in goals.iter().enumerate() {
        let part = goal.part();
        let class = if goal.is_reached() { "ours" } else { "missed" };
        let length = (part.min(CUT) * ALLOWED_WIDTH).max(1.0);
        bar(&mut out, number, GOALS_NAMES_WIDTH, (&goal.what, class, length, &format!("{part:.2}")));
    }
    let (x, end) = (GOALS_NAMES_WIDTH as f64 + ALLOWED_WIDTH, HEAD_HEIGHT + LINE_HEIGHT * goals.len());
    // Writing to a string cannot fail.
    let _ = writeln!(out, "<line x1=\"{x}\" x2=\"{x}\" y1=\"{HEAD_HEIGHT}\" y2=\"{end}\"/>\n</svg>");
    Some(out)
}

fn head(title: &str, width: usize, lines: usize) -> String {
    let (title, height) = (escaped(title), HEAD_HEIGHT + LINE_HEIGHT * lines + 10);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-label=\"{title}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         {STYLE}<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"600\">{title}</text>\n"
    )
}

/// A bar, with its name before it and what it stands for behind it.
fn bar(out: &mut String, number: usize, start: usize, (name, class, length, label): (&str, &str, f64, &str)) {
    let top = HEAD_HEIGHT + LINE_HEIGHT * number;
    let (middle, end) = (top + 17, start - 8);
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<text x=\"{end}\" y=\"{middle}\" text-anchor=\"end\">{}</text>\n\
         <rect class=\"{class}\" x=\"{start}\" y=\"{}\" width=\"{length:.1}\" height=\"18\" rx=\"2\"/>\n\
         <text class=\"faint\" x=\"{:.1}\" y=\"{middle}\">{label}</text>",
        escaped(name),
        top + 3,
        start as f64 + length + 6.0,
    );
}

fn escaped(text: &str) -> String {
    text.replace('`', "")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::{Interval, Row, Sample};
    use std::time::Duration;

    #[test]
    fn the_longest_bar_is_the_slowest_and_ours_have_their_own_colour() {
        let row = |name: &str, millis| {
            let sample = Sample { wall: Duration::from_millis(millis), ..Sample::default() };
            Row { name: name.to_owned(), samples: vec![sample] }
        };
        let rows = vec![row("sealpack", 10), row("a < b", 40)];
        let table = Table { title: "A & B".into(), rows, ..Table::default() };
        let picture = svg(&table).unwrap();
        for bar in
            ["\"ours\" x=\"300\" y=\"43\" width=\"85.0\"", "\"others\" x=\"300\" y=\"69\" width=\"340.0\""]
        {
            assert!(picture.contains(bar), "{picture}");
        }
        assert!(picture.contains(">a &lt; b</text>") && picture.contains(">A &amp; B</text>"), "{picture}");
        assert_eq!(svg(&Table::default()), None);
    }

    #[test]
    fn a_goal_that_is_missed_is_beyond_the_line_and_has_another_colour() {
        let goal = |median| Goal {
            what: "mount".to_owned(),
            measured: Interval { median, low: median, high: median },
            at_most: 2.0,
            unit: String::new(),
            processor: None,
        };
        let picture = goals(&[&goal(1.0), &goal(3.0), &goal(90.0)]).unwrap();
        for bar in [
            "\"ours\" x=\"470\" y=\"43\" width=\"100.0\"",
            "\"missed\" x=\"470\" y=\"69\" width=\"300.0\"",
            "\"missed\" x=\"470\" y=\"95\" width=\"400.0\"",
        ] {
            assert!(picture.contains(bar), "{picture}");
        }
        assert!(picture.contains("<line x1=\"670\"") && picture.contains(">45.00</text>"), "{picture}");
        assert_eq!(goals(&[]), None);
    }

    #[test]
    fn each_colour_has_one_for_either_theme() {
        let (light, dark) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
        for class in ["text", ".faint", ".ground", ".ours", ".others", ".missed", "line"] {
            let rule = format!("{class} {{");
            assert!(light.contains(&rule) && dark.contains(&rule), "{class}");
        }
    }
}
