//! A row for each figure and distance, for whoever makes plots of their own.

use super::summary::{Split, Summary};

/// Names have no comma in them, so nothing is quoted.
pub(super) fn csv(summary: &Summary) -> String {
    let mut text =
        String::from("scenario,contestant,class,medium,figure,unit,distance,runs,median,min,max\n");
    for scenario in &summary.scenarios {
        for contestant in &scenario.contestants {
            let medium = contestant.medium.map_or("", |medium| medium.says()).replace([',', ':'], ";");
            for (figure, values) in &contestant.figures {
                let row =
                    [scenario.name, contestant.name, contestant.class, &medium, figure, values.unit.says()];
                rows(&mut text, &row.join(","), values.all);
            }
        }
        for ratio in &scenario.ratios {
            let row =
                [scenario.name, ratio.ours, "", "", ratio.figure, &format!("ratio to {}", ratio.theirs)];
            rows(&mut text, &row.join(","), ratio.ratio);
        }
    }
    text
}

fn rows(text: &mut String, begin: &str, split: Split) {
    for (distance, spread) in [("all", split.all), ("near", split.near), ("far", split.far)] {
        if let Some(spread) = spread {
            *text += &format!(
                "{begin},{distance},{},{},{},{}\n",
                spread.runs, spread.median, spread.min, spread.max
            );
        }
    }
}
