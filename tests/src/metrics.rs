//! Reading what a service counts.

use crate::http::Ask;

/// The sum of a metric's series at `operations`: those of one label where `series` names it (`name{label="value"}`), else all
/// of the name. 0 when it was not counted yet, `None` when nobody answers.
pub async fn read(operations: &str, series: &str) -> Option<u64> {
    let answer = Ask::get("/metrics").try_send(operations).await.ok()?;
    (answer.status == 200).then(|| sum(&answer.body, series))
}

fn sum(text: &str, series: &str) -> u64 {
    let is_meant =
        |name: &str| name.strip_prefix(series).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
    let values = text.lines().filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        is_meant(name).then(|| value.parse::<u64>().ok())?
    });
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_name_or_taken_by_label() {
        let text = "# HELP a_total A\na_total{by=\"x\"} 3\na_total{by=\"y\"} 4\na_total_more 9\ngauge 5\n";
        assert_eq!(sum(text, "a_total"), 7);
        assert_eq!(sum(text, "a_total{by=\"y\"}"), 4);
        assert_eq!(sum(text, "gauge"), 5);
        assert_eq!(sum(text, "absent"), 0);
    }
}
