//! SQLite cannot change a column: the table of images is made anew with the same rows, as alembic does it. The text of the
//! table stays in the database, so it is upstream's to the letter.

use std::borrow::Cow;

use super::Sql;

/// Columns as they are declared. Those that a later revision brings, or has taken, are left out where the table lacks them.
const COLUMNS: [(&str, &str); 21] = [
    ("id", "VARCHAR(36) NOT NULL"),
    ("name", "VARCHAR(255)"),
    ("size", "INTEGER"),
    ("status", "VARCHAR(30) NOT NULL"),
    ("is_public", "BOOLEAN"),
    ("created_at", "DATETIME NOT NULL"),
    ("updated_at", "DATETIME"),
    ("deleted_at", "DATETIME"),
    ("deleted", "BOOLEAN NOT NULL"),
    ("disk_format", "VARCHAR(20)"),
    ("container_format", "VARCHAR(20)"),
    ("checksum", "VARCHAR(32)"),
    ("owner", "VARCHAR(255)"),
    ("min_disk", "INTEGER NOT NULL"),
    ("min_ram", "INTEGER NOT NULL"),
    ("protected", "BOOLEAN DEFAULT 0 NOT NULL"),
    ("virtual_size", "INTEGER"),
    ("visibility", "VARCHAR(9)"),
    ("os_hidden", "BOOLEAN DEFAULT 0 NOT NULL"),
    ("os_hash_algo", "VARCHAR(64)"),
    ("os_hash_value", "VARCHAR(128)"),
];

const INDEXES: [(&str, &str); 9] = [
    ("checksum_image_idx", "checksum"),
    ("ix_images_deleted", "deleted"),
    ("ix_images_is_public", "is_public"),
    ("owner_image_idx", "owner"),
    ("created_at_image_idx", "created_at"),
    ("updated_at_image_idx", "updated_at"),
    ("visibility_image_idx", "visibility"),
    ("os_hidden_image_idx", "os_hidden"),
    ("os_hash_value_image_idx", "os_hash_value"),
];

/// The statements that make the table anew with those of its present columns that are known. With `contracted`, `is_public` is
/// left out, and an image without a visibility is not possible any more.
pub(crate) fn remake_images(present: &[String], contracted: bool) -> Vec<Sql> {
    let stays = |name: &str| present.iter().any(|column| column == name) && !(contracted && name == "is_public");
    let columns: Vec<_> = COLUMNS.iter().filter(|(name, _)| stays(name)).collect();
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let mut table = String::from("CREATE TABLE \"_alembic_tmp_images\" (\n");
    for (name, declared) in columns {
        let declared = match *name {
            "visibility" if contracted => "VARCHAR(9) DEFAULT 'shared' NOT NULL",
            _ => declared,
        };
        table += &format!("\t{name} {declared}, \n");
    }
    table += "\tPRIMARY KEY (id)\n)";
    let mut statements = vec![
        table,
        format!("INSERT INTO _alembic_tmp_images ({names}) SELECT {names} FROM images"),
        "DROP TABLE images".to_owned(),
        "ALTER TABLE _alembic_tmp_images RENAME TO images".to_owned(),
    ];
    let indexes = INDEXES.iter().filter(|(_, column)| stays(column));
    statements.extend(indexes.map(|(name, column)| format!("CREATE INDEX {name} ON images ({column})")));
    statements.into_iter().map(|sql| Sql(Cow::Owned(sql))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_keeps_what_it_has() {
        let present: Vec<String> =
            ["id", "is_public", "owner", "visibility"].iter().map(|name| (*name).to_owned()).collect();
        let text = |contracted| remake_images(&present, contracted).into_iter().map(|sql| sql.0).collect::<Vec<_>>();
        assert!(text(false)[1].contains("(id, is_public, owner, visibility) SELECT id, is_public, owner, visibility"));
        assert_eq!(text(false).len(), 7);
        assert!(
            text(true)[0].contains("visibility VARCHAR(9) DEFAULT 'shared' NOT NULL")
                && !text(true)[0].contains("is_public")
        );
        assert_eq!(
            text(true)[4..],
            [
                "CREATE INDEX owner_image_idx ON images (owner)",
                "CREATE INDEX visibility_image_idx ON images (visibility)"
            ]
        );
    }
}
