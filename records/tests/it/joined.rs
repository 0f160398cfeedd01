//! The files of several runners as one.

use parquet::file::{
    reader::{FileReader as _, SerializedFileReader},
    serialized_reader::ReadOptionsBuilder,
};
use proptest::prelude::*;
use records::{Joined, RecordsError};

use super::{
    checkpoints::{Growing, any_record},
    *,
};

/// One file of all of them, put together as a reader of them would.
fn joined(files: &[Bytes]) -> Result<Bytes, RecordsError> {
    let layouts: Vec<Layout> = files.iter().map(layout).collect();
    let Joined { bodies, tail } = Joined::of(&layouts)?;
    let mut one = Joined::HEAD.to_vec();
    for (file, body) in files.iter().zip(bodies) {
        let (from, to) = (usize::try_from(body.start), usize::try_from(body.end));
        one.extend_from_slice(&file[from.unwrap()..to.unwrap()]);
    }
    one.extend_from_slice(&tail);
    Ok(one.into())
}

/// What any reader of Parquet makes of `file`, by column: it knows nothing of ours.
fn read_by_others(file: &Bytes) -> Vec<Vec<String>> {
    let options = ReadOptionsBuilder::new().with_page_index().build();
    let reader = SerializedFileReader::new_with_options(file.clone(), options).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(Result::unwrap);
    let rows = rows.map(|row| row.get_column_iter().map(|(_, field)| field.to_string()).collect());
    rows.collect()
}

#[test]
fn the_files_of_all_runners_are_one_with_the_rows_of_each_in_turn() {
    let long = GROUP_ROWS as u64 + 3;
    let parts = [0..long, 0..0, long..long + 1, long + 1..2 * long];
    let of =
        |part: std::ops::Range<u64>| written(part.map(|index| Record { index, ..whole() }), true);
    let one = joined(&parts.clone().map(of)).unwrap();
    let layout = layout(&one);
    assert_eq!((layout.rows(), layout.groups()), (2 * long, 5));
    assert_eq!(layout.about("started_at"), Some("2026-11-24T08:00:00Z"));
    let rows = rows(&one);
    assert!(rows.iter().map(|row| row["index"].as_u64().unwrap()).eq(0..2 * long));
    assert_eq!(read_by_others(&one).len() as u64, 2 * long);
}

#[test]
fn one_file_is_joined_to_itself_and_none_to_nothing() {
    let file = written([whole(), refused()], false);
    assert_eq!(rows(&joined(std::slice::from_ref(&file)).unwrap()), rows(&file));
    assert!(matches!(Joined::of(&[]), Err(RecordsError::Malformed)));
}

#[test]
fn files_of_other_columns_are_not_joined() {
    let (with, without) = (written([whole()], true), written([whole()], false));
    assert!(matches!(joined(&[with, without]), Err(RecordsError::Columns)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn however_rows_were_dealt_out_their_files_joined_are_the_file_of_all(
        parts in proptest::collection::vec(
            (proptest::collection::vec(any_record(), 0..12), any::<bool>()), 1..6
        ),
        token_times in any::<bool>(),
    ) {
        let files = parts.iter().map(|(part, has_died)| {
            if !has_died {
                return written(part.clone(), token_times);
            }
            let file = Growing::default();
            let mut writer = file.writer(token_times);
            for record in part {
                writer.push(record.clone()).unwrap();
            }
            let checkpoint = writer.checkpoint().unwrap();
            drop(writer);
            file.mended(&checkpoint)
        });
        let one = joined(&files.collect::<Vec<_>>()).unwrap();
        let all = parts.into_iter().flat_map(|(part, _)| part).collect::<Vec<_>>();
        let all = written(all, token_times);
        prop_assert_eq!(layout(&one).rows(), layout(&all).rows());
        prop_assert_eq!(rows(&one), rows(&all));
        prop_assert_eq!(text(&one, TextFormat::Csv), text(&all, TextFormat::Csv));
        prop_assert_eq!(read_by_others(&one), read_by_others(&all));
    }
}
