use super::*;

fn opened(directory: &tempfile::TempDir) -> State {
    State::open(&directory.path().join("state.redb")).unwrap()
}

impl State {
    /// Writes something else in the place of a row.
    pub(crate) fn damage(&self, name: &str) {
        self.replace(name, b"{\"version\":1");
    }

    fn replace(&self, name: &str, row: &[u8]) {
        let write = self.database.begin_write().unwrap();
        write.open_table(ROWS).unwrap().insert(name, row).unwrap();
        write.commit().unwrap();
    }

    /// Damages a row, and forgets which directory it has.
    pub(crate) fn damage_all(&self, name: &str) {
        self.damage(name);
        let write = self.database.begin_write().unwrap();
        write.open_table(IDS).unwrap().remove(self.id(name).unwrap()).unwrap();
        write.commit().unwrap();
    }

    /// Gives a row the directory of another one.
    pub(crate) fn give_directory_of(&self, other: &str, name: &str) {
        let mut row = self.rows[name].clone();
        row.id = self.rows[other].id;
        self.replace(name, &row.to_bytes());
    }
}

fn active(id: u64, parent: &str) -> Row {
    Row::new(id, Kind::Active, parent.to_owned(), Labels::new())
}

#[test]
fn what_was_changed_is_there_when_it_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut state = opened(&directory);
    let (base, child) = (state.new_id(), state.new_id());
    state
        .change(Change::default().put("base", active(base, "")).put("child", active(child, "base")))
        .unwrap();
    state.change(Change::default().remove("child").put("other", active(child, "base"))).unwrap();
    let rows: Vec<(String, Row)> = state.rows().map(|(name, row)| (name.to_owned(), row.clone())).collect();
    drop(state);
    let mut state = opened(&directory);
    assert_eq!(state.rows().map(|(name, row)| (name.to_owned(), row.clone())).collect::<Vec<_>>(), rows);
    assert!(state.has_children("base") && !state.has("child"));
    assert_eq!(state.new_id(), 3, "no number is given twice");
    let ancestry: Vec<&str> = state.ancestry("other").unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(ancestry, ["other", "base"]);
}

#[test]
fn two_cannot_have_it_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let _first = opened(&directory);
    let error = State::open(&directory.path().join("state.redb")).unwrap_err();
    assert!(error.to_string().ends_with("another snapshotter works on this store"), "{error}");
}

#[test]
fn a_row_that_is_damaged_is_told_by_its_name_and_leaves_the_others_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut state = opened(&directory);
    state.change(Change::default().put("good", active(1, "")).put("bad", active(2, ""))).unwrap();
    state.damage("bad");
    drop(state);
    let mut state = opened(&directory);
    assert_eq!(state.get("good").unwrap().id, 1);
    assert!(matches!(state.get("bad"), Err(Error::Broken { .. })), "it is not taken for missing");
    assert!(state.owns_directory(2) && !state.owns_directory(3));
    assert_eq!(state.new_id(), 3);
    state.change(Change::default().remove("bad")).unwrap();
    assert!(matches!(state.get("bad"), Err(Error::NotFound(_))));
    assert!(!state.owns_directory(2));
}

#[test]
fn a_file_that_is_no_database_is_refused_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    std::fs::write(&path, "something else").unwrap();
    let error = State::open(&path).unwrap_err();
    assert!(error.to_string().contains("state.redb"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"something else");
}

/// The next number was the highest and one more: 0 behind the last there is, or, where that is looked for, the end of the
/// program at each of its starts.
#[test]
fn a_number_that_no_directory_has_makes_a_row_one_that_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let mut state = opened(&directory);
    state.change(Change::default().put("good", active(1, "")).put("bad", active(2, ""))).unwrap();
    for id in [ID_END, u64::MAX - 1, u64::MAX] {
        state.replace("bad", &active(id, "").to_bytes());
        let write = state.database.begin_write().unwrap();
        write.open_table(IDS).unwrap().insert(id, "other").unwrap();
        write.commit().unwrap();
        drop(state);
        state = opened(&directory);
        let why = state.get("bad").unwrap_err().to_string();
        assert!(why.contains(&format!("no directory has the number {id}")), "{why}");
        assert_eq!((state.get("good").unwrap().id, state.next_id), (1, 3));
    }
}
