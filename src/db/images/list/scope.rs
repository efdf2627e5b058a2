//! Who sees which images in a list (`_select_images_query` and `_image_get_all` in `glance/db/sqlalchemy/api.py`).

use sea_query::{Cond, Expr, ExprTrait, Query};

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

/// The sets that make up what the viewer sees; at most four.
pub(super) fn sets(viewer: &Viewer, asked: &VisibilityCondition, status: Option<&str>) -> Vec<Set> {
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
            let mut members = Query::select();
            members.from("image_members").and_where(live("image_members"));
            // Without a project, upstream asks for any membership of anyone.
            let mut others = None;
            if let Some(project) = viewer.project.as_deref() {
                members.and_where(Expr::col("member").eq(project));
                members.and_where_option(status.map(|status| Expr::col(("image_members", "status")).eq(status)));
                others = Some(column(Column::Owner).ne(project).or(column(Column::Owner).is_null()));
            }
            let image = || Expr::col(("image_members", "image_id"));
            let is_member = if each {
                Expr::exists(members.expr(Expr::cust("1")).and_where(image().eq(column(Column::Id))).take())
            } else {
                column(Column::Id).in_subquery(members.expr(image()).take())
            };
            all.add(coarse(dialect, Column::Visibility).eq(visibility("shared"))).add_option(others).add(is_member)
        }
    }
}

fn visibility(text: &str) -> Expr {
    value(Column::Visibility, text)
}

#[cfg(test)]
mod tests {
    use super::*;

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
