//! Projects with which images are shared.

use sea_query::{Expr, ExprTrait, Order, Query, SelectStatement};

use super::children::lock_image;
use super::clock;
use super::connection::Db;
use super::error::DbError;
use super::model::{EPOCH, MemberRecord};
use super::retry::UnitOfWork;
use super::row::{Columns, Row};
use super::session::Session;
use super::sql::{live, soft_delete};
use super::unreadable;

/// Makes a project a member of the image (`ImageMemberRepo.add` in `glance/db/__init__.py`). A row of a former
/// membership is used again and keeps its time of creation.
///
/// # Errors
/// [`DbError::Duplicate`] if it is one already; [`DbError::NotFound`] if the image is not there.
pub async fn add(db: &Db, image: &str, member: &str, status: &str) -> Result<MemberRecord, DbError> {
    db.write(Add { image: image.to_owned(), member: member.to_owned(), status: status.to_owned() }).await
}

/// All members of the image, oldest first.
pub async fn list(db: &Db, image: &str) -> Result<Vec<MemberRecord>, DbError> {
    db.read(Find::new(image, None)).await
}

/// One member of the image.
pub async fn find(db: &Db, image: &str, member: &str) -> Result<Option<MemberRecord>, DbError> {
    Ok(db.read(Find::new(image, Some(member))).await?.into_iter().next())
}

/// Changes the status of a membership.
///
/// # Errors
/// [`DbError::NotFound`] if the project is no member.
pub async fn update(db: &Db, image: &str, member: &str, status: &str) -> Result<MemberRecord, DbError> {
    db.write(Update { image: image.to_owned(), member: member.to_owned(), status: status.to_owned() }).await
}

/// Ends a membership.
///
/// # Errors
/// [`DbError::NotFound`] if the project is no member.
pub async fn delete(db: &Db, image: &str, member: &str) -> Result<(), DbError> {
    db.write(Delete { image: image.to_owned(), member: member.to_owned() }).await
}

/// How many members the image has.
pub async fn count(db: &Db, image: &str) -> Result<i64, DbError> {
    db.read(Count { image: image.to_owned() }).await
}

fn select(image: &str) -> SelectStatement {
    Query::select()
        .columns(["image_id", "member", "can_share", "status", "created_at", "updated_at"])
        .from("image_members")
        .and_where(Expr::col("image_id").eq(image))
        .and_where(live("image_members"))
        .order_by("id", Order::Asc)
        .take()
}

fn read(row: &dyn Row) -> Result<MemberRecord, DbError> {
    let mut columns = Columns::of(row);
    let image_id = columns.text()?;
    let in_table = |error: DbError| match error {
        DbError::Corrupt { ref column, .. } => {
            let column = format!("image_members.{column}");
            error.in_column(&column)
        }
        other => other,
    };
    let member = unreadable::or(&image_id, columns.text().map_err(in_table), String::new);
    let can_share = unreadable::or(&image_id, columns.flag().map_err(in_table), || false);
    let status = unreadable::or(&image_id, columns.text().map_err(in_table), String::new);
    let created_at = unreadable::or(&image_id, columns.time().map_err(in_table), || EPOCH);
    let updated_at = unreadable::or(&image_id, columns.maybe_time().map_err(in_table), || None).unwrap_or(created_at);
    Ok(MemberRecord { image_id, member, can_share, status, created_at, updated_at })
}

fn missing(image: &str, member: &str) -> DbError {
    DbError::NotFound { what: "member", key: format!("{member} of image {image}") }
}

struct Add {
    image: String,
    member: String,
    status: String,
}

impl UnitOfWork for Add {
    type Output = MemberRecord;
    const NAME: &'static str = "add member";

    async fn run(&self, session: &mut Session) -> Result<MemberRecord, DbError> {
        // The unique key has `deleted_at` in it, which is NULL for present members, so it stops nobody.
        lock_image(session, &self.image).await?;
        let query = Query::select()
            .columns(["id", "deleted", "member"])
            .from("image_members")
            .and_where(Expr::col("image_id").eq(self.image.as_str()))
            .and_where(Expr::col("member").eq(self.member.as_str()))
            .order_by("id", Order::Asc)
            .take();
        let rows = session
            .rows(&query, |row| {
                let mut columns = Columns::of(row);
                Ok((columns.integer()?, columns.flag()?))
            })
            .await?;
        if rows.iter().any(|(_, deleted)| !deleted) {
            return Err(DbError::Duplicate { what: "member", key: self.member.clone() });
        }
        let now = clock::now();
        match rows.first() {
            Some((id, _)) => {
                let revive = Query::update()
                    .table("image_members")
                    .values([
                        ("deleted", false.into()),
                        ("can_share", false.into()),
                        ("status", self.status.as_str().into()),
                        ("updated_at", now.into()),
                    ])
                    .and_where(Expr::col("id").eq(*id))
                    .take();
                session.execute(&revive).await?;
            }
            None => {
                let mut insert = Query::insert();
                insert.into_table("image_members");
                insert.columns(["image_id", "member", "can_share", "status", "created_at", "updated_at", "deleted"]);
                insert.values_panic([
                    self.image.as_str().into(),
                    self.member.as_str().into(),
                    false.into(),
                    self.status.as_str().into(),
                    now.into(),
                    now.into(),
                    false.into(),
                ]);
                session.execute(&insert).await?;
            }
        }
        one(session, &self.image, &self.member).await
    }
}

async fn one(session: &mut Session, image: &str, member: &str) -> Result<MemberRecord, DbError> {
    let found = Find::new(image, Some(member)).run(session).await?;
    found.into_iter().next().ok_or_else(|| missing(image, member))
}

struct Find {
    image: String,
    member: Option<String>,
}

impl Find {
    fn new(image: &str, member: Option<&str>) -> Self {
        Self { image: image.to_owned(), member: member.map(str::to_owned) }
    }
}

impl UnitOfWork for Find {
    type Output = Vec<MemberRecord>;
    const NAME: &'static str = "find members";

    async fn run(&self, session: &mut Session) -> Result<Vec<MemberRecord>, DbError> {
        let mut query = select(&self.image);
        query.and_where_option(self.member.as_deref().map(|member| Expr::col("member").eq(member)));
        session.rows(&query, read).await
    }
}

struct Update {
    image: String,
    member: String,
    status: String,
}

impl UnitOfWork for Update {
    type Output = MemberRecord;
    const NAME: &'static str = "update member";

    async fn run(&self, session: &mut Session) -> Result<MemberRecord, DbError> {
        let update = Query::update()
            .table("image_members")
            .values([
                ("status", self.status.as_str().into()),
                // As upstream: it never sets this to true, and each write of a member resets it.
                ("can_share", false.into()),
                ("updated_at", clock::now().into()),
            ])
            .and_where(Expr::col("image_id").eq(self.image.as_str()))
            .and_where(Expr::col("member").eq(self.member.as_str()))
            .and_where(live("image_members"))
            .take();
        match session.execute(&update).await? {
            0 => Err(missing(&self.image, &self.member)),
            _ => one(session, &self.image, &self.member).await,
        }
    }
}

struct Delete {
    image: String,
    member: String,
}

impl UnitOfWork for Delete {
    type Output = ();
    const NAME: &'static str = "delete member";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        let update = soft_delete("image_members", clock::now())
            .and_where(Expr::col("image_id").eq(self.image.as_str()))
            .and_where(Expr::col("member").eq(self.member.as_str()))
            .and_where(live("image_members"))
            .take();
        match session.execute(&update).await? {
            0 => Err(missing(&self.image, &self.member)),
            _ => Ok(()),
        }
    }
}

struct Count {
    image: String,
}

impl UnitOfWork for Count {
    type Output = i64;
    const NAME: &'static str = "count members";

    async fn run(&self, session: &mut Session) -> Result<i64, DbError> {
        let query = Query::select()
            .expr(Expr::cust("COUNT(*)"))
            .from("image_members")
            .and_where(Expr::col("image_id").eq(self.image.as_str()))
            .and_where(live("image_members"))
            .take();
        Ok(session.row(&query, |row| Columns::of(row).integer()).await?.unwrap_or(0))
    }
}
