//! How SQLite means to find the images of a page. It knows nothing of the data, so the query has to be written for it.

use sea_query::SqliteQueryBuilder;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use super::*;
use crate::config::{DatabaseSection, Secret};

async fn plan(query: &ListQuery) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("glance.db");
    let connection = Some(Secret::from(format!("sqlite:///{}", path.display()).as_str()));
    let db = Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap();
    db.create_schema().await.unwrap();
    let sort = page::complete(&query.sort, query.tie_break);
    let marker = match query.marker {
        Some(_) => Some(page::marker(&mut db.reader().await.unwrap(), "m", query, &sort).await.unwrap()),
        None => None,
    };
    let sql = select(Dialect::Sqlite, query, &sort, marker.as_deref()).to_string(SqliteQueryBuilder);
    let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let rows =
        sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
}

fn query(is_admin: bool) -> ListQuery {
    let viewer = Viewer { is_admin, project: Some("p".to_owned()) };
    let conditions = vec![Condition::Is(Column::OsHidden, false)];
    ListQuery { conditions, ..ListQuery::new(viewer, 25) }
}

#[tokio::test]
async fn an_admin_walks_along_the_order() {
    let plan = plan(&query(true)).await;
    assert!(plan.contains("SCAN images USING INDEX created_at_image_idx"), "{plan}");
    assert!(plan.contains("USE TEMP B-TREE FOR LAST TERM OF ORDER BY"), "{plan}");
}

#[tokio::test]
async fn a_user_looks_at_what_is_visible_only() {
    let plan = plan(&query(false)).await;
    for expected in [
        "SEARCH images USING INDEX visibility_image_idx (visibility=?)",
        "SEARCH images USING INDEX owner_image_idx (owner=?)",
        "SEARCH images USING INDEX sqlite_autoindex_images_1 (id=?)",
        "SEARCH image_members USING INDEX",
    ] {
        assert!(plan.contains(expected), "{expected} is not in\n{plan}");
    }
    assert!(!plan.contains("SCAN images"), "{plan}");
}

#[tokio::test]
async fn a_selective_filter_uses_its_index() {
    let mut query = query(true);
    query.conditions.push(Condition::Equal(Column::Checksum, "c".to_owned()));
    let plan = plan(&query).await;
    assert!(plan.contains("USING INDEX checksum_image_idx (checksum=?)"), "{plan}");
}
