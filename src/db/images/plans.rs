//! How SQLite means to find rows. It knows nothing of the data, so queries have to be written for it: it takes the index of
//! any column that is compared for equality, also of one that is the same in nearly all rows.

use sea_query::{Expr, ExprTrait, QueryStatementWriter, SqliteQueryBuilder};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use super::get;
use super::list::{Column, Condition, ListQuery, Viewer, select};
use crate::db::children;
use crate::db::clock;
use crate::db::dialect::Dialect;
use crate::db::of_ids::Way;
use crate::db::sql::{live, soft_delete};
use crate::db::testing::open;

async fn plan(statement: &impl QueryStatementWriter) -> String {
    let folder = tempfile::tempdir().unwrap();
    let _db = open(folder.path()).await;
    let sql = format!("EXPLAIN QUERY PLAN {}", statement.to_string(SqliteQueryBuilder));
    let mut connection = SqliteConnectOptions::new().filename(folder.path().join("glance.db")).connect().await.unwrap();
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
}

fn query(is_admin: bool) -> ListQuery {
    let viewer = Viewer { is_admin, project: Some("p".to_owned()) };
    let conditions = vec![Condition::Is(Column::OsHidden, false)];
    ListQuery { conditions, ..ListQuery::new(viewer, 25) }
}

async fn plan_of_list(query: &ListQuery) -> String {
    plan(&select::select(Dialect::Sqlite, query, &query.order(), None)).await
}

#[tokio::test]
async fn an_admin_walks_along_the_order() {
    let plan = plan_of_list(&query(true)).await;
    assert!(plan.contains("SCAN images USING INDEX created_at_image_idx"), "{plan}");
    assert!(plan.contains("USE TEMP B-TREE FOR LAST TERM OF ORDER BY"), "{plan}");
}

#[tokio::test]
async fn a_user_looks_at_what_is_visible_only() {
    let plan = plan_of_list(&query(false)).await;
    for expected in [
        "SEARCH images USING INDEX visibility_image_idx (visibility=?)",
        "SEARCH images USING INDEX owner_image_idx (owner=?)",
        "SEARCH images USING INDEX sqlite_autoindex_images_1 (id=?)",
    ] {
        assert!(plan.contains(expected), "{expected} is not in\n{plan}");
    }
    assert!(!plan.contains("SCAN images"), "{plan}");
}

#[tokio::test]
async fn the_first_try_walks_along_the_order_and_stops() {
    let query = query(false);
    let sort = query.order();
    let plan = plan(&select::among_first(Dialect::Sqlite, &query, &sort, None).unwrap()).await;
    assert!(plan.contains("SCAN images USING INDEX created_at_image_idx"), "{plan}");
    assert!(plan.contains("CO-ROUTINE images"), "{plan}");
    assert!(!plan.contains("USE TEMP B-TREE FOR ORDER BY"), "{plan}");
    assert!(plan.contains("USING INDEX ix_image_members_image_id_member (image_id=? AND member=?)"), "{plan}");
}

#[tokio::test]
async fn a_selective_filter_uses_its_index() {
    let mut query = query(true);
    query.conditions.push(Condition::Equal(Column::Checksum, "c".to_owned()));
    let plan = plan_of_list(&query).await;
    assert!(plan.contains("USING INDEX checksum_image_idx (checksum=?)"), "{plan}");
}

#[tokio::test]
async fn rows_of_an_image_are_found_by_its_id() {
    let [one, tags, locations] = children::selects(|| Expr::col("image_id").is_in(["a", "b"]), Way::Choice, 0);
    for (table, plan) in [
        ("image_properties", plan(&get::select(false, Way::Choice, &|column| Expr::col(column).eq("i"))).await),
        (
            "image_properties",
            plan(&get::select(false, Way::Choice, &|column| Expr::col(column).is_in(["a", "b"]))).await,
        ),
        ("images", plan(&get::select(false, Way::Choice, &|column| Expr::col(column).is_in(["a", "b"]))).await),
        ("image_properties", plan(&one).await),
        ("image_tags", plan(&tags).await),
        ("image_locations", plan(&locations).await),
    ] {
        assert!(plan.contains(&format!("SEARCH {table} USING INDEX")), "{plan}");
        assert!(plan.contains("(image_id=?)"), "{plan}");
        assert!(!plan.contains("deleted=?") && !plan.contains("SCAN"), "{plan}");
    }
    for table in ["image_properties", "image_tags", "image_locations", "image_members"] {
        let mut update = soft_delete(table, clock::now());
        let plan = plan(update.and_where(Expr::col("image_id").eq("i")).and_where(live(table))).await;
        assert!(plan.contains("(image_id=?)"), "{plan}");
    }
}
