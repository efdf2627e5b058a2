//! Who sees which images in a list (`_select_images_query` and `_image_get_all` in `glance/db/sqlalchemy/api.py`).

use sea_query::{CommonTableExpression, Cond, Expr, ExprTrait, Query, SelectStatement};

use super::query::{Viewer, VisibilityCondition};
use crate::db::dialect::Dialect;
use crate::db::images::columns::{coarse, column, never, value};
use crate::db::model::Column;
use crate::db::sql::live;

/// Images that a query looks at; those of one query are disjoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Set {
    /// All with this visibility.
    Visible(&'static str),
    /// All with a visibility but that one, unless they are the viewer's own.
    AllButOthers(&'static str),
    All,
    Nothing,
    /// All with a visibility that is given as text.
    Only(String),
    /// The viewer's own that are not in `Visible` sets of the same query.
    Own {
        but: &'static [&'static str],
    },
    /// The viewer's own with this visibility.
    OwnOnly(String),
    /// Of others, shared with the viewer by a membership in this status; `None` is any.
    Shared {
        status: Option<String>,
    },
}

const VISIBILITIES: [&str; 4] = ["public", "private", "shared", "community"];

/// The sets that make up what the viewer sees; at most four.
pub(super) fn sets(viewer: &Viewer, asked: &VisibilityCondition, status: Option<&str>) -> Vec<Set> {
    if let VisibilityCondition::Only(other) = asked
        && !VISIBILITIES.contains(&other.as_str())
    {
        // PostgreSQL's type knows no other word.
        return vec![Set::Nothing];
    }
    if viewer.is_admin {
        return vec![match asked {
            VisibilityCondition::Default => Set::AllButOthers("community"),
            VisibilityCondition::All => Set::All,
            VisibilityCondition::Only(visibility) => Set::Only(visibility.clone()),
        }];
    }
    let shared = Set::Shared { status: status.map(str::to_owned) };
    let known = viewer.project.is_some();
    let mut sets = Vec::new();
    match asked {
        VisibilityCondition::Default => {
            sets.push(Set::Visible("public"));
            sets.extend(known.then_some(Set::Own { but: &["public"] }));
            sets.push(shared);
        }
        VisibilityCondition::All => {
            sets.extend([Set::Visible("public"), Set::Visible("community")]);
            sets.extend(known.then_some(Set::Own { but: &["public", "community"] }));
            sets.push(shared);
        }
        VisibilityCondition::Only(visibility) if matches!(visibility.as_str(), "public" | "community") => {
            sets.push(Set::Only(visibility.clone()));
        }
        VisibilityCondition::Only(visibility) => {
            sets.extend(known.then(|| Set::OwnOnly(visibility.clone())));
            sets.extend((visibility == "shared").then_some(shared));
        }
    }
    if sets.is_empty() {
        sets.push(Set::Nothing);
    }
    sets
}

/// The condition for being in the set. `each` says that images are looked at one by one, not found by the condition.
pub(super) fn condition(dialect: Dialect, viewer: &Viewer, set: Set, each: bool) -> Cond {
    let all = Cond::all();
    let own = || viewer.project.as_deref().map(|project| column(Column::Owner).eq(project));
    match set {
        Set::All => all,
        Set::Nothing => all.add(never()),
        Set::Visible(visible) => all.add(column(Column::Visibility).eq(visibility(visible))),
        Set::Only(only) => all.add(column(Column::Visibility).eq(visibility(&only))),
        Set::AllButOthers(other) => {
            Cond::any().add(coarse(dialect, Column::Visibility).ne(visibility(other))).add_option(own())
        }
        Set::Own { but } => but
            .iter()
            .fold(all.add_option(own()), |all, but| all.add(coarse(dialect, Column::Visibility).ne(visibility(but)))),
        Set::OwnOnly(only) => all.add_option(own()).add(coarse(dialect, Column::Visibility).eq(visibility(&only))),
        Set::Shared { status } => {
            let members = members(viewer, status.as_deref());
            let is_member = if each { is_member(members) } else { column(Column::Id).in_subquery(image_ids(members)) };
            shared(dialect, viewer).add(is_member)
        }
    }
}

/// The viewer's memberships that [`parts`] counts, under this name.
const MEMBERSHIPS: &str = "memberships";

/// Whoever has more memberships than this has many: to look each of them up takes longer than to look for them among the images
/// that come first.
const FEW: u64 = 1000;

/// The conditions by which a page looks for the images of a set, one query for each; their images are disjoint.
///
/// PostgreSQL keeps one plan for the statement, whoever asks, and MySQL reads all memberships before it looks at an image. So the statement
/// decides: images that are shared with the viewer are found by the viewer's memberships, or, if these are many, by looking at
/// shared images along the order. One of the two parts has nothing to do. SQLite plans each list, and sees for itself.
pub(super) fn parts(dialect: Dialect, viewer: &Viewer, set: Set) -> Vec<Cond> {
    let Set::Shared { status } = &set else { return vec![condition(dialect, viewer, set, false)] };
    let members = members(viewer, status.as_deref());
    let (count, ids, is_member) = match dialect {
        Dialect::Sqlite => return vec![condition(dialect, viewer, set, false)],
        Dialect::Postgres => (
            Query::select().expr(Expr::cust("COUNT(*)")).from(MEMBERSHIPS).take(),
            image_ids(Query::select().from(MEMBERSHIPS).take()),
            // LIMIT and OFFSET keep PostgreSQL from making a join of it, which could start with the memberships after all.
            is_member(members.clone().limit(1).offset(0).take()),
        ),
        Dialect::MySql => {
            let some = image_ids(members.clone()).limit(FEW + 1).take();
            let count = Query::select().expr(Expr::cust("COUNT(*)")).from_subquery(some, MEMBERSHIPS).take();
            (count, image_ids(members.clone()), is_member_by_value(members))
        }
    };
    let (count, few) = (Expr::from(count), Expr::cust(FEW.to_string()));
    vec![
        shared(dialect, viewer).add(count.clone().lte(few.clone())).add(column(Column::Id).in_subquery(ids)),
        shared(dialect, viewer).add(count.gt(few)).add(is_member),
    ]
}

/// What [`parts`] needs before the query: one membership more than are few. MySQL 5.7 has no such expressions.
pub(super) fn memberships(dialect: Dialect, viewer: &Viewer, sets: &[Set]) -> Option<CommonTableExpression> {
    let status = sets.iter().find_map(|set| match set {
        Set::Shared { status } if dialect == Dialect::Postgres => Some(status.as_deref()),
        _ => None,
    })?;
    let rows = image_ids(members(viewer, status)).limit(FEW + 1).take();
    Some(CommonTableExpression::new().table_name(MEMBERSHIPS).query(rows).to_owned())
}

/// Shared images of others.
fn shared(dialect: Dialect, viewer: &Viewer) -> Cond {
    let project = viewer.project.as_deref();
    let others = project.map(|project| column(Column::Owner).ne(project).or(column(Column::Owner).is_null()));
    Cond::all().add(coarse(dialect, Column::Visibility).eq(visibility("shared"))).add_option(others)
}

/// The viewer's memberships in this status, without columns yet. Without a project, upstream asks for any membership of anyone.
fn members(viewer: &Viewer, status: Option<&str>) -> SelectStatement {
    let mut members = Query::select();
    members.from("image_members").and_where(live("image_members"));
    if let Some(project) = viewer.project.as_deref() {
        members.and_where(Expr::col("member").eq(project));
        members.and_where_option(status.map(|status| Expr::col(("image_members", "status")).eq(status)));
    }
    members
}

fn image_ids(mut members: SelectStatement) -> SelectStatement {
    members.column("image_id").take()
}

/// Whether one of these memberships is of the image at hand.
fn is_member(mut members: SelectStatement) -> Expr {
    let image = Expr::col(("image_members", "image_id")).eq(column(Column::Id));
    Expr::exists(members.expr(Expr::cust("1")).and_where(image).take())
}

/// The same for MySQL, which makes a join of EXISTS, and reads all memberships for it.
fn is_member_by_value(mut members: SelectStatement) -> Expr {
    let image = Expr::col(("image_members", "image_id")).eq(column(Column::Id));
    Expr::from(members.expr(Expr::cust("1")).and_where(image).limit(1).take()).eq(1)
}

fn visibility(text: &str) -> Expr {
    value(Column::Visibility, text)
}

#[cfg(test)]
mod tests {
    use sea_query::PostgresQueryBuilder;

    use super::super::select::select;
    use super::super::{Direction, ListQuery};
    use super::*;

    #[test]
    fn postgresql_counts_the_memberships_that_it_finds_images_by() {
        let text = |dialect, viewer: Viewer| {
            let sort = [(Column::CreatedAt, Direction::Descending)];
            select(dialect, &ListQuery::new(viewer, 25), &sort, None).to_string(PostgresQueryBuilder)
        };
        let user = text(Dialect::Postgres, viewer(false, Some("p")));
        for (expected, times) in [
            (r#"WITH "memberships" AS (SELECT "image_id" FROM "image_members" WHERE"#, 1),
            ("LIMIT 1001)", 1),
            (r#"(SELECT COUNT(*) FROM "memberships") <= (1000)"#, 1),
            (r#"(SELECT COUNT(*) FROM "memberships") > (1000)"#, 1),
            (r#""images"."id" IN (SELECT "image_id" FROM "memberships")"#, 1),
            ("LIMIT 1 OFFSET 0)", 1),
            (r#""member" = 'p'"#, 2),
            (r#""image_members"."status" = 'accepted'"#, 2),
            ("UNION ALL", 3),
        ] {
            assert_eq!(user.matches(expected).count(), times, "{expected} in {user}");
        }
        let nobody = text(Dialect::Postgres, viewer(false, None));
        assert!(nobody.contains("memberships") && !nobody.contains(r#""member" ="#), "{nobody}");
        for other in [
            text(Dialect::Postgres, viewer(true, Some("p"))),
            text(Dialect::MySql, viewer(true, Some("p"))),
            text(Dialect::Sqlite, viewer(false, Some("p"))),
        ] {
            assert!(!other.contains("memberships"), "{other}");
        }
    }

    #[test]
    fn mysql_counts_them_in_the_part_itself() {
        let sort = [(Column::CreatedAt, Direction::Descending)];
        let query = select(Dialect::MySql, &ListQuery::new(viewer(false, Some("p")), 25), &sort, None);
        let text = query.to_string(sea_query::MysqlQueryBuilder);
        for (expected, times) in [
            ("LIMIT 1001) AS `memberships`) <= (1000)", 1),
            ("LIMIT 1001) AS `memberships`) > (1000)", 1),
            ("`images`.`id` IN (SELECT `image_id` FROM `image_members` WHERE", 1),
            ("`image_members`.`image_id` = `images`.`id` LIMIT 1) = 1", 1),
            ("`member` = 'p'", 4),
            ("WITH", 0),
            ("EXISTS", 0),
        ] {
            assert_eq!(text.matches(expected).count(), times, "{expected} in {text}");
        }
    }

    fn viewer(is_admin: bool, project: Option<&str>) -> Viewer {
        Viewer { is_admin, project: project.map(str::to_owned) }
    }

    #[test]
    fn what_is_visible_takes_as_few_sets_as_possible() {
        let only = |text: &str| VisibilityCondition::Only(text.to_owned());
        let shared = || Set::Shared { status: Some("accepted".to_owned()) };
        let (admin, user, nobody) = (viewer(true, Some("p")), viewer(false, Some("p")), viewer(false, None));
        let expected = [
            (&admin, VisibilityCondition::Default, vec![Set::AllButOthers("community")]),
            (&admin, VisibilityCondition::All, vec![Set::All]),
            (&admin, only("private"), vec![Set::Only("private".to_owned())]),
            (&admin, only(""), vec![Set::Nothing]),
            (&user, only("x"), vec![Set::Nothing]),
            (
                &user,
                VisibilityCondition::Default,
                vec![Set::Visible("public"), Set::Own { but: &["public"] }, shared()],
            ),
            (
                &user,
                VisibilityCondition::All,
                vec![
                    Set::Visible("public"),
                    Set::Visible("community"),
                    Set::Own { but: &["public", "community"] },
                    shared(),
                ],
            ),
            (&user, only("public"), vec![Set::Only("public".to_owned())]),
            (&user, only("community"), vec![Set::Only("community".to_owned())]),
            (&user, only("private"), vec![Set::OwnOnly("private".to_owned())]),
            (&user, only("shared"), vec![Set::OwnOnly("shared".to_owned()), shared()]),
            (&nobody, VisibilityCondition::Default, vec![Set::Visible("public"), shared()]),
            (&nobody, only("shared"), vec![shared()]),
            (&nobody, only("private"), vec![Set::Nothing]),
        ];
        for (viewer, asked, expected) in expected {
            assert_eq!(sets(viewer, &asked, Some("accepted")), expected, "{viewer:?} {asked:?}");
        }
    }
}
