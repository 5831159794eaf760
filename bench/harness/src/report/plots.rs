//! Plots of a scenario, as SVG: what each contestant reached, percentiles, cycles per stage, and curves over the scenario's axis.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::number;
use super::page::Block;
use super::summary::{ContestantSummary, ScenarioSummary};
use crate::failure::Failure;
use crate::line::Medium;
use crate::probe::Distance;
use crate::scenario::Who;

/// Pixels of a plot across; those with a row for each contestant are as high as they need.
const WIDTH: u32 = 980;
const HEIGHT: u32 = 380;
const ROW: u32 = 26;
/// Pixels for names of contestants.
const NAMES: u32 = 230;
/// Pixels for a legend, and from one name of it to the next.
const LEGEND: u32 = 220;
const LEGEND_ROW: u32 = 20;
/// A range wider than this is shown by its logarithm.
const WIDE: f64 = 30.0;

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// All plots for which there are figures.
pub(super) fn all(summary: &ScenarioSummary) -> Result<Vec<Block>, Failure> {
    let mut plots = Vec::new();
    let mut add = |title: &str, caption: String, height: u32, draw: &dyn Fn(&Area<'_>) -> Drawn| {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
            draw(&area).and_then(|()| Ok(area.present()?)).map_err(|error| {
                Failure::new(format!("cannot draw '{title}' of {}: {error}", summary.name))
            })?;
        }
        plots.push(Block::Plot { title: title.to_owned(), caption, svg });
        Ok::<(), Failure>(())
    };
    let memory = summary.contestants.iter().filter(|contestant| contestant.medium == Some(Medium::Memory));
    let memory: Vec<&str> = memory.map(|contestant| contestant.name).collect();
    let memory = match memory[..] {
        [] => String::new(),
        _ => format!(" {}: {}.", memory.join(", "), Medium::Memory.says()),
    };
    if let Some(measure) = summary.scenario.measures.first() {
        let rows = reached(summary, measure.figure);
        if !rows.is_empty() {
            let caption = format!(
                "A dot is a run: dark when its CPUs were near, pale when far or changing; hollow squares are runs in memory.{memory}"
            );
            let height = 60 + ROW * rows.len() as u32;
            add(measure.title, caption, height, &|area| dots(area, &rows))?;
        }
    }
    let curves: Vec<&ContestantSummary> =
        summary.contestants.iter().filter(|contestant| contestant.latency.is_some()).collect();
    if !curves.is_empty() {
        let caption = "Nanoseconds of the run in the middle, by percentile.".to_owned();
        add("Percentiles", caption, HEIGHT, &|area| percentiles(area, &curves))?;
    }
    let staged: Vec<&ContestantSummary> =
        summary.contestants.iter().filter(|contestant| !contestant.stages.is_empty()).collect();
    if !staged.is_empty() {
        let height = 60 + (ROW * staged.len() as u32).max(LEGEND_ROW * 8);
        let caption = format!("Medians, in the order of the loop.{memory}");
        add("Cycles per burst, by stage", caption, height, &|area| stages(area, &staged))?;
    }
    if let Some(axis) = summary.scenario.axis {
        for measure in summary.scenario.measures {
            let series = scale(summary, measure.figure);
            if !series.is_empty() {
                let title = format!("{} by {axis}", measure.title);
                add(&title, format!("Medians.{memory}"), HEIGHT, &|area| curve(area, &series, axis))?;
            }
        }
    }
    Ok(plots)
}

/// Okabe and Ito's colours, which colour-blind people can tell apart, without yellow on white.
fn color(n: usize) -> RGBColor {
    const COLORS: [RGBColor; 7] = [
        RGBColor(0, 114, 178),
        RGBColor(213, 94, 0),
        RGBColor(0, 158, 115),
        RGBColor(204, 121, 167),
        RGBColor(86, 180, 233),
        RGBColor(230, 159, 0),
        RGBColor(0, 0, 0),
    ];
    COLORS[n % COLORS.len()]
}

fn of(who: Who) -> RGBColor {
    color(match who {
        Who::Ours => 0,
        Who::Kernel => 1,
        Who::Limit => 6,
    })
}

/// A contestant and its runs.
struct Row {
    name: &'static str,
    who: Who,
    memory: bool,
    runs: Vec<(f64, Distance)>,
}

fn reached(summary: &ScenarioSummary, figure: &str) -> Vec<Row> {
    let row = |contestant: &ContestantSummary| {
        let values = contestant.figures.get(figure)?;
        Some(Row {
            name: contestant.name,
            who: contestant.contestant.who,
            memory: contestant.medium == Some(Medium::Memory),
            runs: values.each.iter().map(|(reached, distance)| (reached.value, *distance)).collect(),
        })
    };
    summary.contestants.iter().filter_map(row).collect()
}

/// A row for each contestant, a dot for each run.
fn dots(area: &Area<'_>, rows: &[Row]) -> Drawn {
    let values = || rows.iter().flat_map(|row| row.runs.iter().map(|(value, _)| *value));
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    if least > 0.0 && most > WIDE * least {
        dots_over(area, rows, (least / 1.5..most * 1.5).log_scale(), least / 1.5)
    } else {
        dots_over(area, rows, 0.0..(most * 1.05).max(f64::MIN_POSITIVE), 0.0)
    }
}

fn dots_over<X>(area: &Area<'_>, rows: &[Row], range: X, left: f64) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(range, rows.len() as f64..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .y_labels(0)
        .x_label_formatter(&|x| number(*x))
        .draw()?;
    for (n, row) in rows.iter().enumerate() {
        let middle = n as f64 + 0.5;
        name(area, chart.backend_coord(&(left, middle)), row.name)?;
        let strong = of(row.who);
        for (value, distance) in &row.runs {
            let style = match distance {
                Distance::Near => strong.mix(1.0),
                Distance::Far | Distance::Changed => strong.mix(0.35),
            };
            let at = (*value, middle);
            if row.memory {
                let square = Rectangle::new([(-5, -5), (5, 5)], style.stroke_width(2));
                chart.draw_series(std::iter::once(EmptyElement::at(at) + square))?;
            } else {
                chart.draw_series(std::iter::once(Circle::new(at, 5, style.filled())))?;
            }
        }
    }
    Ok(())
}

/// A contestant's name, left of its row.
fn name(area: &Area<'_>, (x, y): (i32, i32), name: &str) -> Drawn {
    let style = ("sans-serif", 14).into_text_style(area).pos(Pos::new(HPos::Right, VPos::Center));
    Ok(area.draw(&Text::new(name.to_owned(), (x - 10, y), style))?)
}

/// Percentiles by how few are beyond: 90 %, 99 %, 99.9 % are as far from each other.
fn percentiles(area: &Area<'_>, curves: &[&ContestantSummary]) -> Drawn {
    let points = |contestant: &ContestantSummary| -> Vec<(f64, f64)> {
        let Some(latency) = &contestant.latency else { return Vec::new() };
        // Of a thousand samples the last thousandth is one.
        let last = (latency.count.max(1) as f64).log10();
        let nines = |percentile: f64| (-(1.0 - percentile / 100.0).max(1e-9).log10()).min(last);
        latency.points.iter().map(|&(percentile, ns)| (nines(percentile), ns.max(1) as f64)).collect()
    };
    let all: Vec<(f64, f64)> = curves.iter().flat_map(|contestant| points(contestant)).collect();
    let right = all.iter().fold(1.0, |most: f64, (x, _)| most.max(*x));
    let (low, high) =
        all.iter().fold((f64::INFINITY, 1.0_f64), |(low, high), (_, y)| (low.min(*y), high.max(*y)));
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_right(LEGEND + 20)
        .x_label_area_size(30)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..right, (low.min(high) / 1.5..high * 1.5).log_scale())?;
    let percent = |x: &f64| {
        let digits = (x.ceil() as usize).saturating_sub(2);
        format!("{:.digits$} %", 100.0 - 10_f64.powf(2.0 - x))
    };
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(right.ceil() as usize + 1)
        .x_label_formatter(&percent)
        .y_label_formatter(&|y| number(*y))
        .y_desc("ns")
        .draw()?;
    for (n, contestant) in curves.iter().enumerate() {
        let style = color(n).stroke_width(2);
        chart.draw_series(LineSeries::new(points(contestant), style))?;
    }
    legend(area, curves.iter().enumerate().map(|(n, contestant)| (contestant.name, color(n))))
}

/// Bars of stages, one after the other.
fn stages(area: &Area<'_>, contestants: &[&ContestantSummary]) -> Drawn {
    let sum =
        |contestant: &&ContestantSummary| contestant.stages.iter().map(|(_, cycles)| cycles.median).sum();
    let most: f64 = contestants.iter().map(sum).fold(0.0, f64::max);
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in contestants.iter().flat_map(|contestant| &contestant.stages) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_right(LEGEND + 20)
        .x_label_area_size(30)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(0.0..(most * 1.05).max(1.0), contestants.len() as f64..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .y_labels(0)
        .x_label_formatter(&|x| number(*x))
        .draw()?;
    for (n, stage) in names.iter().enumerate() {
        let bars = contestants.iter().enumerate().filter_map(|(row, contestant)| {
            let place = contestant.stages.iter().position(|(name, _)| name == stage)?;
            let before: f64 = contestant.stages[..place].iter().map(|(_, cycles)| cycles.median).sum();
            let after = before + contestant.stages[place].1.median;
            let corners = [(before, row as f64 + 0.15), (after, row as f64 + 0.85)];
            Some(Rectangle::new(corners, color(n).filled()))
        });
        chart.draw_series(bars)?;
    }
    for (row, contestant) in contestants.iter().enumerate() {
        name(area, chart.backend_coord(&(0.0, row as f64 + 0.5)), contestant.name)?;
    }
    legend(area, names.iter().enumerate().map(|(n, stage)| (*stage, color(n))))
}

/// Whose it is, and medians over the axis.
type Series = (Who, Vec<(f64, f64)>);

fn scale(summary: &ScenarioSummary, figure: &str) -> Vec<Series> {
    let mut series: Vec<Series> = Vec::new();
    for contestant in &summary.contestants {
        let (Some(at), Some(median)) = (contestant.contestant.at, contestant.median(figure)) else {
            continue;
        };
        let who = contestant.contestant.who;
        match series.iter_mut().find(|(other, _)| *other == who) {
            Some((_, points)) => points.push((at, median)),
            None => series.push((who, vec![(at, median)])),
        }
    }
    series.iter_mut().for_each(|(_, points)| points.sort_by(|(a, _), (b, _)| a.total_cmp(b)));
    series
}

/// A line for each of whom there are points.
fn curve(area: &Area<'_>, series: &[Series], axis: &str) -> Drawn {
    let all = || series.iter().flat_map(|(_, points)| points);
    let least = all().fold(f64::INFINITY, |least, (x, _)| least.min(*x)).max(f64::MIN_POSITIVE);
    let most = all().fold(least, |most, (x, _)| most.max(*x));
    let high = all().fold(0.0, |high: f64, (_, y)| high.max(*y));
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_right(LEGEND + 20)
        .x_label_area_size(45)
        .y_label_area_size(80)
        .build_cartesian_2d(
            (least / 1.2..most * 1.2).log_scale(),
            0.0..(high * 1.1).max(f64::MIN_POSITIVE),
        )?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(axis)
        .x_label_formatter(&|x| number(*x))
        .y_label_formatter(&|y| number(*y))
        .draw()?;
    for (who, points) in series {
        let color = of(*who);
        chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
        let dots = points.iter().map(|at| Circle::new(*at, 4, color.filled()));
        chart.draw_series(dots)?;
    }
    let names: Vec<String> = series.iter().map(|(who, _)| who.to_string()).collect();
    legend(area, names.iter().zip(series).map(|(name, (who, _))| (name.as_str(), of(*who))))
}

/// Names and colours, right of a plot that leaves the room.
fn legend<'a>(area: &Area<'_>, names: impl Iterator<Item = (&'a str, RGBColor)>) -> Drawn {
    let left = (WIDTH - LEGEND) as i32;
    for (n, (name, color)) in names.enumerate() {
        let middle = 24 + LEGEND_ROW as i32 * n as i32;
        area.draw(&Rectangle::new([(left, middle - 5), (left + 12, middle + 5)], color.filled()))?;
        let style = ("sans-serif", 14).into_text_style(area).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(name.to_owned(), (left + 18, middle), style))?;
    }
    Ok(())
}
