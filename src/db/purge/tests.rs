use super::*;
use crate::db::row::Row;
use crate::db::testing::open;

#[test]
fn pieces_take_about_the_same_time() {
    let mut size = LEAST;
    for _ in 0..10 {
        size = next_size(size, Duration::from_millis(1));
    }
    assert_eq!(size, MOST);
    assert_eq!(next_size(size, AIM), MOST);
    for _ in 0..10 {
        size = next_size(size, Duration::from_millis(500));
    }
    assert_eq!(size, LEAST);
}

#[tokio::test]
async fn the_oldest_go_first_and_no_more_than_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).await;
    let sql = "INSERT INTO images (id, status, created_at, deleted_at, deleted, min_disk, min_ram) \
        WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 299) \
        SELECT 'id' || n, 'deleted', '2020-01-01', datetime('2020-01-01', '+' || ((300 - n) / 2) || ' minutes') || '.000000', 1, 0, 0 FROM n; \
        INSERT INTO images (id, status, created_at, deleted, min_disk, min_ram) VALUES ('alive', 'active', '2020-01-01', 0, 0, 0); \
        INSERT INTO image_tags (image_id, value, created_at, deleted) VALUES ('id0', 't', '2020-01-01', 0)";
    db.writer().await.unwrap().plain(sql).await.unwrap();
    let left = || async {
        let younger = "COUNT(*), COUNT(CASE WHEN CAST(SUBSTR(id, 3) AS INTEGER) < 199 THEN 1 END), MIN(id), \
            COUNT(CASE WHEN id > 'id200' AND LENGTH(id) = 5 THEN 1 END)";
        let query = Query::select().expr(Expr::cust(younger)).from("images").take();
        let read = |row: &dyn Row| {
            let mut columns = Columns::of(row);
            Ok((columns.integer()?, columns.integer()?, columns.text()?, columns.integer()?))
        };
        db.writer().await.unwrap().row(&query, read).await.unwrap().unwrap()
    };
    let told = std::sync::Mutex::new(Vec::new());
    let observe = |rows| told.lock().unwrap().push(rows);
    // So few at once that it goes on after the first.
    let purge = |days, most| Purge { chunk: 64, ..Purge::new(&db, Table::Images, &observe) }.run(days, most);
    // At each time two were deleted; of the last two, one may go.
    assert_eq!(purge(1, Some(100)).await.unwrap(), 100);
    assert_eq!(told.lock().unwrap().last(), Some(&100));
    assert!(told.lock().unwrap().len() > 1, "in pieces");
    // The last to be made were the first to be deleted.
    assert_eq!(left().await, (201, 200, "alive".to_owned(), 0));
    assert_eq!(purge(10_000, None).await.unwrap(), 0);
    // One of them has a tag.
    let error = purge(1, None).await.unwrap_err();
    assert!(error.is_reference(), "{error}");
    db.writer().await.unwrap().plain("DELETE FROM image_tags").await.unwrap();
    purge(1, None).await.unwrap();
    assert_eq!(left().await, (1, 1, "alive".to_owned(), 0));
    assert_eq!(db.purge(Table::Images, i64::MAX / 100_000_000, None, &observe).await.unwrap(), 0);
}

/// Of ten images that were deleted at one time, others go first than those whose properties do.
#[tokio::test]
async fn what_hangs_on_a_row_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).await;
    let numbers = "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 9)";
    let old = "'2020-01-01', '2020-01-02 00:00:00.000000', 1";
    for (table, columns, values) in [
        ("images", "id, status, min_disk, min_ram", "'i' || n, 'deleted', 0, 0"),
        ("image_properties", "image_id, name", "'i' || (9 - n), 'p'"),
        ("image_tags", "image_id, value", "'i' || (9 - n), 't'"),
        ("image_locations", "image_id, value", "'i' || (9 - n), 'l'"),
        ("image_members", "image_id, member, can_share", "'i' || (9 - n), 'm', 0"),
        ("tasks", "id, type, status, owner", "'t' || n, 'import', 'success', 'o'"),
    ] {
        let sql = format!(
            "INSERT INTO {table} ({columns}, created_at, deleted_at, deleted) {numbers} SELECT {values}, {old} FROM n"
        );
        db.writer().await.unwrap().plain(sql).await.unwrap();
    }
    db.writer().await.unwrap().plain("INSERT INTO task_info (task_id) SELECT id FROM tasks").await.unwrap();
    let left = async |table: Table| {
        let query = Query::select().expr(Expr::cust("COUNT(*)")).from(table.name()).take();
        db.reader().await.unwrap().row(&query, |row| Columns::of(row).integer()).await.unwrap().unwrap()
    };
    let purge = async |table, most| db.purge(table, 1, Some(most), &|_| ()).await.unwrap();
    let (children, _) = Table::Images.children();
    for &table in children {
        assert_eq!(purge(table, 4).await, 4);
    }
    // None of the four of which something is gone.
    assert_eq!(purge(Table::Images, 6).await, 6);
    for &table in children {
        assert_eq!(left(table).await, 0, "{table:?}");
    }
    assert_eq!((purge(Table::Images, 10).await, left(Table::Images).await), (4, 0));
    assert_eq!((purge(Table::Tasks, 6).await, left(Table::Tasks).await, left(Table::TaskInfo).await), (6, 4, 4));
}

/// Found before it came back, and to be removed after.
#[tokio::test]
async fn what_came_back_keeps_what_hangs_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).await;
    let sql = "INSERT INTO images (id, status, created_at, deleted, min_disk, min_ram) VALUES ('back', 'active', '2020-01-01', 0, 0, 0); \
        INSERT INTO image_properties (image_id, name, created_at, deleted_at, deleted) \
            VALUES ('back', 'p', '2020-01-01', '2020-01-01', 1); \
        INSERT INTO tasks (id, type, status, owner, created_at, updated_at, deleted) \
            VALUES ('back', 'import', 'success', 'o', '2020-01-01', '2020-01-01', 0); \
        INSERT INTO task_info (task_id) VALUES ('back')";
    db.writer().await.unwrap().plain(sql).await.unwrap();
    for table in [Table::Images, Table::Tasks] {
        assert_eq!(db.write(Remove { table, keys: vec!["back".into()] }).await.unwrap(), 0, "{table:?}");
    }
    for table in [Table::Images, Table::ImageProperties, Table::Tasks, Table::TaskInfo] {
        let query = Query::select().expr(Expr::cust("COUNT(*)")).from(table.name()).take();
        let left = db.reader().await.unwrap().row(&query, |row| Columns::of(row).integer()).await.unwrap();
        assert_eq!(left, Some(1), "{table:?}");
    }
}
