//! The plot: one bar per job and side, on a logarithmic scale.
//!
//! The SVG is written by hand, because plotting libraries draw for one background and a page has a light and a dark one.
//! The file's style sheet picks the colours by the reader's colour scheme.

use std::fmt::Write as _;

use super::jobs::Job;
use super::report::short;
use super::sample::Side;

const LABELS: f64 = 230.0;
const BARS: f64 = 560.0;
const WIDTH: f64 = LABELS + BARS + 80.0;
const BAR: f64 = 13.0;
const GAP: f64 = 14.0;
const TOP: f64 = 58.0;

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.quiet { fill: #59636e }
.title { font-size: 14px; font-weight: 600 }
line { stroke: #d1d9e0 }
.hermes { fill: #0969da } .floor { fill: #afb8c1 } .s6 { fill: #1a7f37 }
.supervisord { fill: #8250df } .python { fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .quiet { fill: #9198a1 }
  line { stroke: #3d444d }
  .hermes { fill: #4493f8 } .floor { fill: #656c76 } .s6 { fill: #3fb950 }
  .supervisord { fill: #ab7df8 } .python { fill: #db6d28 }
}
";

/// Plots `jobs`, whose unit must be milliseconds.
pub(super) fn plot(title: &str, jobs: &[&Job]) -> String {
    let figures = || jobs.iter().flat_map(|job| job.figures.values());
    let least = figures().map(|figure| figure.median).fold(f64::INFINITY, f64::min);
    let most = figures().map(|figure| figure.median).fold(1.0, f64::max);
    let (from, to) = (least.log10().floor(), most.log10().ceil());
    let x = |value: f64| LABELS + BARS * (value.log10() - from) / (to - from).max(1.0);

    let mut body = String::new();
    let mut y = TOP;
    for job in jobs {
        let middle = y + BAR * count(job.figures.len()) / 2.0 + 4.0;
        let label = LABELS - 10.0;
        let _ = writeln!(
            body,
            r#"<text x="{label}" y="{middle:.1}" text-anchor="end">{}</text>"#,
            escaped(job.name)
        );
        for (side, figure) in &job.figures {
            let (end, class) = (x(figure.median).max(LABELS + 1.0), side.name());
            let (width, height, base) = (end - LABELS, BAR - 2.0, y + BAR - 3.0);
            let _ = writeln!(
                body,
                r#"<rect x="{LABELS}" y="{y:.1}" width="{width:.1}" height="{height}" class="{class}"/>"#
            );
            let (after, value) = (end + 5.0, short(figure.median));
            let _ = writeln!(
                body,
                r#"<text x="{after:.1}" y="{base:.1}" class="quiet">{value} ms</text>"#
            );
            y += BAR;
        }
        y += GAP;
    }
    let mut grid = String::new();
    let mut power = from;
    while power <= to {
        let (at, bottom, under) = (x(10_f64.powf(power)), y - GAP / 2.0, y + 9.0);
        let _ = writeln!(grid, r#"<line x1="{at:.1}" y1="{TOP}" x2="{at:.1}" y2="{bottom:.1}"/>"#);
        let value = short(10_f64.powf(power));
        let _ = writeln!(
            grid,
            r#"<text x="{at:.1}" y="{under:.1}" text-anchor="middle" class="quiet">{value} ms</text>"#
        );
        power += 1.0;
    }
    let height = y + 20.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         width=\"{WIDTH}\" height=\"{height:.0}\" role=\"img\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n<text x=\"10\" y=\"20\" class=\"title\">{title}</text>\n\
         {}{grid}{body}</svg>\n",
        legend()
    )
}

fn legend() -> String {
    let mut text = String::new();
    let names = ["Hermes", "floor", "s6 tools", "supervisord", "Python implementation"];
    let mut x = LABELS;
    for (side, name) in Side::ALL.into_iter().zip(names) {
        let class = side.name();
        let _ = writeln!(text, r#"<rect x="{x}" y="34" width="11" height="11" class="{class}"/>"#);
        let _ = writeln!(text, r#"<text x="{}" y="44">{name}</text>"#, x + 16.0);
        x += 34.0 + 7.0 * count(name.chars().count());
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn count(number: usize) -> f64 {
    number as f64
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::sample::Figure;
    use super::*;

    #[test]
    fn bars_have_a_logarithmic_scale() {
        let figure = |median| Figure { median, low: median, high: median, runs: 1 };
        let figures = BTreeMap::from([(Side::Hermes, figure(1.0)), (Side::Peer, figure(100.0))]);
        let job = Job { name: "a < b", profiles: None, unit: "ms", figures, rules: Vec::new() };
        let svg = plot("title", &[&job]);
        let widths: Vec<f64> = svg
            .lines()
            .filter(|line| line.contains("<rect") && line.contains(r#"height="11" class"#))
            .filter_map(|line| line.split(r#"width=""#).nth(1)?.split('"').next()?.parse().ok())
            .filter(|width| *width != 11.0)
            .collect();
        assert_eq!(widths, [1.0, BARS]);
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n"), "{svg}");
    }
}
