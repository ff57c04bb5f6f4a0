//! Tables as pictures: a bar for each row, in SVG.

use super::figures::Figure;
use super::table::{Table, seconds};
use std::fmt::Write;

/// What a picture is looked at on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    Light,
    Dark,
}

impl Theme {
    pub(crate) const ALL: [Self; 2] = [Self::Light, Self::Dark];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    const fn colours(self) -> Colours {
        match self {
            Self::Light => Colours { text: "#1f2328", faint: "#59636e", ours: "#0969da", others: "#afb8c1" },
            Self::Dark => Colours { text: "#f0f6fc", faint: "#9198a1", ours: "#4493f8", others: "#656c76" },
        }
    }
}

struct Colours {
    text: &'static str,
    faint: &'static str,
    ours: &'static str,
    others: &'static str,
}

const WIDTH: usize = 760;
const NAMES_WIDTH: usize = 300;
const BARS_WIDTH: f64 = 340.0;
const LINE_HEIGHT: usize = 26;
const HEAD_HEIGHT: usize = 40;

/// The medians of a table's times, ours in another colour: those whose names begin with `sealpack`. `None` when there are no
/// rows.
pub(crate) fn svg(table: &Table, theme: Theme) -> Option<String> {
    let Colours { text, faint, ours, others } = theme.colours();
    let medians: Vec<f64> = table.rows.iter().map(|row| row.median(Figure::Wall)).collect();
    let most = medians.iter().copied().fold(0.0, f64::max);
    if most <= 0.0 {
        return None;
    }
    let height = HEAD_HEIGHT + LINE_HEIGHT * medians.len() + 10;
    let title = escaped(&table.title);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" aria-label=\"{title}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <text x=\"12\" y=\"24\" fill=\"{text}\" font-size=\"15\" font-weight=\"600\">{title}</text>\n"
    );
    for (number, (row, median)) in table.rows.iter().zip(&medians).enumerate() {
        let top = HEAD_HEIGHT + LINE_HEIGHT * number;
        let (middle, end) = (top + 17, NAMES_WIDTH - 8);
        let length = (median / most * BARS_WIDTH).max(1.0);
        let colour = if row.name.starts_with("sealpack") { ours } else { others };
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "<text x=\"{end}\" y=\"{middle}\" fill=\"{text}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{NAMES_WIDTH}\" y=\"{}\" width=\"{length:.1}\" height=\"18\" rx=\"2\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{middle}\" fill=\"{faint}\">{}</text>",
            escaped(&row.name),
            top + 3,
            NAMES_WIDTH as f64 + length + 6.0,
            seconds(*median),
        );
    }
    out.push_str("</svg>\n");
    Some(out)
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
    use crate::bench::figures::{Row, Sample};
    use std::time::Duration;

    #[test]
    fn the_longest_bar_is_the_slowest_and_ours_have_their_own_colour() {
        let row = |name: &str, millis| {
            let sample = Sample { wall: Duration::from_millis(millis), ..Sample::default() };
            Row { name: name.to_owned(), samples: vec![sample] }
        };
        let rows = vec![row("sealpack", 10), row("a < b", 40)];
        let table = Table { title: "A & B".into(), rows, ..Table::default() };
        let pictures = Theme::ALL.map(|theme| svg(&table, theme).unwrap());
        for (picture, theme) in pictures.iter().zip(Theme::ALL) {
            let colours = theme.colours();
            assert!(
                picture.contains(&format!("width=\"85.0\" height=\"18\" rx=\"2\" fill=\"{}\"", colours.ours))
            );
            assert!(
                picture
                    .contains(&format!("width=\"340.0\" height=\"18\" rx=\"2\" fill=\"{}\"", colours.others))
            );
            assert!(
                picture.contains(">a &lt; b</text>") && picture.contains(">A &amp; B</text>"),
                "{picture}"
            );
        }
        assert_ne!(pictures[0], pictures[1]);
        assert_eq!(svg(&Table::default(), Theme::Light), None);
    }
}
