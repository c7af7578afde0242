#include "cache/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "metrics/error.h"

static bool folder_fail(const char *what, const char *path, struct gh_error *err)
{
    return gh_fail(err, GH_INTERNAL_ERROR, "%s %s: %s", what, path, strerror(errno));
}

bool folder_join(const char *parent, const char *name, char out[FOLDER_MAX_PATH],
                 struct gh_error *err)
{
    int n = snprintf(out, FOLDER_MAX_PATH, "%s/%s", parent, name);

    if (n < 0 || n >= FOLDER_MAX_PATH) {
        return gh_fail(err, GH_INTERNAL_ERROR, "a path in the store is longer than %d bytes",
                       FOLDER_MAX_PATH);
    }
    return true;
}

bool folder_make(const char *path, struct gh_error *err)
{
    struct stat st;

    if (mkdir(path, 0700) == 0) {
        return true;
    }
    if (errno == EEXIST && stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode)) {
            return true;
        }
        errno = ENOTDIR;
    }
    return folder_fail("cannot make the folder", path, err);
}

bool folder_check_local(const char *path, struct gh_error *err)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } remote[] = {
        {0x6969, "NFS"},        {0x517b, "SMB"},      {0xff534d42, "CIFS"},  {0xfe534d42, "SMB2"},
        {0x00c36400, "Ceph"},   {0x01021997, "9P"},   {0x5346414f, "AFS"},   {0x73757245, "Coda"},
        {0x0bd00bd0, "Lustre"}, {0x01161970, "GFS2"}, {0x7461636f, "OCFS2"},
    };
    struct statfs fs;

    if (statfs(path, &fs) != 0) {
        return folder_fail("cannot look at", path, err);
    }
    for (size_t i = 0; i < GH_COUNT(remote); i++) {
        if (((unsigned long)fs.f_type & 0xffffffffUL) == remote[i].magic) {
            return gh_fail(err, GH_INTERNAL_ERROR,
                           "the store %s is on a network file system (%s); it must be on a local "
                           "disk",
                           path, remote[i].name);
        }
    }
    return true;
}

bool folder_sync(const char *path, struct gh_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok;

    if (fd < 0) {
        return folder_fail("cannot open the folder", path, err);
    }
    ok = fsync(fd) == 0 || folder_fail("cannot sync the folder", path, err);
    (void)close(fd);
    return ok;
}

bool folder_lock(const char *path, int *out, struct gh_error *err)
{
    char name[FOLDER_MAX_PATH];
    int fd;

    GH_TRY(folder_join(path, "lock", name, err));
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return folder_fail("cannot open", name, err);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        bool is_taken = errno == EWOULDBLOCK;

        (void)close(fd);
        return is_taken
                   ? gh_fail(err, GH_INTERNAL_ERROR,
                             "the store %s is in use by another process; ask its admin API instead",
                             path)
                   : folder_fail("cannot lock", name, err);
    }
    *out = fd;
    return true;
}

bool folder_take_clean(const char *path, bool *was_clean, struct gh_error *err)
{
    char name[FOLDER_MAX_PATH];

    GH_TRY(folder_join(path, "clean", name, err));
    if (unlink(name) == 0) {
        GH_TRY(folder_sync(path, err));
        *was_clean = true;
        return true;
    }
    if (errno != ENOENT) {
        return folder_fail("cannot remove", name, err);
    }
    *was_clean = false;
    return true;
}

bool folder_put_clean(const char *path, struct gh_error *err)
{
    char name[FOLDER_MAX_PATH];
    int fd;

    GH_TRY(folder_join(path, "clean", name, err));
    fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return folder_fail("cannot write", name, err);
    }
    (void)close(fd);
    return folder_sync(path, err);
}

static bool folder_read_key(int fd, const char *name, uint8_t out[FOLDER_KEY_BYTES],
                            struct gh_error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return folder_fail("cannot look at", name, err);
    }
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0 || st.st_uid != geteuid()) {
        return gh_fail(err, GH_INTERNAL_ERROR,
                       "%s must belong to the gateway's user and be closed to all others "
                       "(chmod 600)",
                       name);
    }
    if (st.st_size != FOLDER_KEY_BYTES || pread(fd, out, FOLDER_KEY_BYTES, 0) != FOLDER_KEY_BYTES) {
        return gh_fail(err, GH_INTERNAL_ERROR,
                       "%s does not hold %d bytes; remove it and a new one is made (stored "
                       "verdicts are made again)",
                       name, FOLDER_KEY_BYTES);
    }
    return true;
}

/* Written under another name first, so that a crash leaves no half key. */
static bool folder_make_key(const char *path, const char *name, struct gh_error *err)
{
    uint8_t key[FOLDER_KEY_BYTES];
    char fresh[FOLDER_MAX_PATH];
    bool ok;
    int fd;

    GH_TRY(folder_join(path, "mac.key.new", fresh, err));
    if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the system gave no random bytes");
    }
    (void)unlink(fresh);
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return folder_fail("cannot write", fresh, err);
    }
    ok = write(fd, key, sizeof(key)) == (ssize_t)sizeof(key) && fsync(fd) == 0;
    (void)close(fd);
    explicit_bzero(key, sizeof(key));
    if (!ok || rename(fresh, name) != 0) {
        return folder_fail("cannot write", name, err);
    }
    return folder_sync(path, err);
}

bool folder_key(const char *path, uint8_t out[FOLDER_KEY_BYTES], struct gh_error *err)
{
    char name[FOLDER_MAX_PATH];
    bool ok;
    int fd;

    GH_TRY(folder_join(path, "mac.key", name, err));
    fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        GH_TRY(folder_make_key(path, name, err));
        fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    if (fd < 0) {
        return folder_fail("cannot read", name, err);
    }
    ok = folder_read_key(fd, name, out, err);
    (void)close(fd);
    return ok;
}
