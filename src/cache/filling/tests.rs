use tokio::sync::oneshot;

use super::*;

/// A whole image of ten bytes, and who waits for its end.
fn whole() -> (Fill, Arc<OpenFile>, watch::Receiver<Progress>) {
    let (fill, file) = (Fill::new(), OpenFile::shared(tempfile::tempfile().unwrap()));
    file.set_len(10).unwrap();
    fill.tell(Progress::Growing { file: Arc::clone(&file), written: 10 });
    let listening = fill.listen();
    (fill, file, listening)
}

fn refused() -> Result<(), CommitError> {
    Err(CommitError::NotDurable(io::Error::from_raw_os_error(libc::EIO)))
}

#[tokio::test]
async fn the_end_is_told_when_the_image_is_in_the_cache_or_cannot_come_there() {
    for committed in [Ok(()), Err(CommitError::Removed), Err(CommitError::Directory(io::ErrorKind::StorageFull.into()))]
    {
        let (fill, file, listening) = whole();
        let is_cached = committed.is_ok();
        let told = tell_end(&fill, &file, 10, std::future::ready(committed)).await;
        assert_eq!(told.is_ok(), is_cached);
        assert!(matches!(*listening.borrow(), Progress::Whole { size: 10, .. }));
    }
}

/// At once, and after its end was told because that took long. In neither case does the file pass for an image.
#[tokio::test]
async fn what_the_disk_refuses_is_not_whole() {
    let (fill, file, listening) = whole();
    let told = tell_end(&fill, &file, 10, std::future::ready(refused())).await;
    assert!(matches!(told, Err(CommitError::NotDurable(_))));
    assert!(matches!(*listening.borrow(), Progress::Abandoned(None)));

    let (fill, file, mut listening) = whole();
    let (refuse, committing) = oneshot::channel();
    let reading = async {
        listening.wait_for(|progress| matches!(progress, Progress::Verified { size: 10, .. })).await.unwrap();
        refuse.send(refused()).unwrap();
    };
    let committing = async { committing.await.unwrap() };
    let (told, ()) = tokio::join!(tell_end(&fill, &file, 10, committing), reading);
    assert!(matches!(told, Err(CommitError::NotDurable(_))));
    assert!(matches!(*listening.borrow(), Progress::Abandoned(None)));
}
