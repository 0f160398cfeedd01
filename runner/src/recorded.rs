//! What a report says of the requests' rows, once it is known what has become of them.

use shared::{Report, report::Recorded};
use store::KeptRequests;

/// Says in the report of a load that one runner made why its rows are not kept, where they are not.
pub(crate) fn alone(report: &mut Report, kept: Option<&KeptRequests>) {
    let is_said = report.recorded.as_ref().is_some_and(|recorded| recorded.error.is_some());
    let Some(Err(error)) = kept.filter(|_| !is_said) else { return };
    report.validity.reasons.push(format!("the requests' rows were not kept: {error}"));
    report.recorded = Some(Recorded { error: Some(error.clone()), ..Recorded::default() });
}

/// Says in the report of a load that several runners made how many of its requests have a row, and
/// why others have none.
///
/// - `kept`: by shard; none: its runner has not told.
pub(crate) fn together(report: &mut Report, kept: &[Option<KeptRequests>]) {
    let (recorded, reason) = of_all(report.requests.started, kept);
    report.validity.reasons.extend(reason);
    report.recorded = Some(recorded);
}

fn of_all(started: u64, kept: &[Option<KeptRequests>]) -> (Recorded, Option<String>) {
    let rows = kept.iter().flatten().flatten().map(|stored| stored.rows).sum();
    let missing = started.saturating_sub(rows);
    let lacking = kept.iter().enumerate().filter_map(|(shard, kept)| match kept {
        Some(Ok(_)) => None,
        Some(Err(error)) => Some(format!("shard {shard}: {error}")),
        None => Some(format!("shard {shard}: its runner had not stored them when the run ended")),
    });
    let lacking: Vec<String> = lacking.collect();
    let error = (!lacking.is_empty()).then(|| lacking.join("; "));
    let reason = match &error {
        Some(error) => Some(format!("the requests' rows were not all kept: {error}")),
        None if missing > 0 => Some(format!(
            "{missing} of {started} requests have no row: the file was written too slowly"
        )),
        None => None,
    };
    (Recorded { rows, missing, error }, reason)
}

#[cfg(test)]
mod tests {
    use store::StoredRequests;

    use super::*;

    fn stored(rows: u64) -> StoredRequests {
        StoredRequests { key: "a key".to_owned(), rows, bytes: 1 }
    }

    fn kept(rows: &[u64]) -> Vec<Option<KeptRequests>> {
        rows.iter().map(|rows| Some(Ok(stored(*rows)))).collect()
    }

    #[test]
    fn the_rows_of_all_count_and_nothing_is_said_where_none_is_missing() {
        let (recorded, reason) = of_all(10, &kept(&[4, 3, 3]));
        assert_eq!(recorded, Recorded { rows: 10, missing: 0, error: None });
        assert_eq!(reason, None);
    }

    #[test]
    fn rows_that_were_left_out_are_missing() {
        let (recorded, reason) = of_all(10, &kept(&[4, 3]));
        assert_eq!(recorded, Recorded { rows: 7, missing: 3, error: None });
        let words = "3 of 10 requests have no row: the file was written too slowly";
        assert_eq!(reason.as_deref(), Some(words));
    }

    #[test]
    fn who_has_not_kept_them_is_named_with_why() {
        let kept = [Some(Ok(stored(4))), Some(Err("the artifact store failed".to_owned())), None];
        let (recorded, reason) = of_all(10, &kept);
        assert_eq!((recorded.rows, recorded.missing), (4, 6));
        let error = "shard 1: the artifact store failed; \
                     shard 2: its runner had not stored them when the run ended";
        assert_eq!(recorded.error.as_deref(), Some(error));
        assert_eq!(reason, Some(format!("the requests' rows were not all kept: {error}")));
    }
}
