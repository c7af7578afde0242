#include "cache/blob_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/blob_index.h"
#include "cache/folder.h"
#include "cache/store.h"
#include "metrics/error.h"
#include "metrics/lock.h"

#define BLOB_SLOTS 4096
#define BLOB_CHECK_BYTES (256u * 1024)
#define BLOB_EVICT_ROUNDS 64
#define BLOB_MAX_NAME (8 + 1 + 2 + 1 + 2 + 1 + 2 * DIGEST_MAX_BYTES + 1)

/* The public face comes first, so that a struct blob_file * is a struct blob_entry *. */
struct blob_entry {
    struct blob_file file;
    unsigned references;
    bool is_listed; /* in the table; a removed file is not, and closes with its last reader */
    atomic_bool is_checked;
    struct blob_entry *next;  /* in its slot */
    struct blob_entry *newer; /* among those nobody reads */
    struct blob_entry *older;
};

struct blob_store {
    struct store *store;
    uint64_t max_bytes;
    int blobs_fd;   /* PATH/blobs */
    int staging_fd; /* PATH/staging */
    char staging[FOLDER_MAX_PATH];
    atomic_uint_fast64_t next_stage;
    atomic_uint_fast64_t evictions;
    atomic_uint_fast64_t evicted_bytes;
    atomic_flag is_evicting;

    struct lock lock; /* GH_RANK_STORE: everything below */
    struct blob_entry *slots[BLOB_SLOTS];
    struct blob_entry *idle_newest;
    struct blob_entry *idle_oldest;
    unsigned idle_count;
    unsigned open_count;
};

static bool blob_fail(const char *what, struct gh_error *err)
{
    return gh_fail(err, GH_INTERNAL_ERROR, "the content store: %s: %s", what, strerror(errno));
}

/* "sha256/ab/cd/<hex>" below the blobs folder. */
static void blob_name(const struct digest *digest, char out[BLOB_MAX_NAME])
{
    char hex[2 * DIGEST_MAX_BYTES + 1];

    bytes_hex_encode(digest_bytes(digest), hex);
    (void)snprintf(out, BLOB_MAX_NAME, "%s/%.2s/%.2s/%s", digest_alg_name(digest->alg), hex,
                   hex + 2, hex);
}

/* Nothing in the staging folder outlives the process that wrote it. */
static bool blob_clear_staging(struct blob_store *blobs, struct gh_error *err)
{
    int fd = openat(blobs->staging_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return blob_fail("cannot read the staging folder", err);
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            (void)unlinkat(blobs->staging_fd, entry->d_name, 0);
        }
    }
    (void)closedir(dir);
    return true;
}

bool blob_store_new(struct store *store, const struct blob_store_config *config,
                    struct blob_store **out, struct gh_error *err)
{
    GH_OWN(blob_store_freep) struct blob_store *blobs = calloc(1, sizeof(*blobs));
    char path[FOLDER_MAX_PATH];
    char alg[FOLDER_MAX_PATH];

    if (blobs == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    lock_init(&blobs->lock, GH_RANK_STORE);
    blobs->store = store;
    blobs->max_bytes = config->max_bytes;
    blobs->blobs_fd = -1;
    blobs->staging_fd = -1;
    atomic_flag_clear(&blobs->is_evicting);
    GH_TRY(folder_join(store_path(store), "blobs", path, err));
    GH_TRY(folder_make(path, err));
    GH_TRY(folder_join(path, "sha256", alg, err));
    GH_TRY(folder_make(alg, err));
    GH_TRY(folder_join(path, "sha512", alg, err));
    GH_TRY(folder_make(alg, err));
    GH_TRY(folder_sync(path, err));
    blobs->blobs_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    GH_TRY(folder_join(store_path(store), "staging", blobs->staging, err));
    GH_TRY(folder_make(blobs->staging, err));
    blobs->staging_fd = open(blobs->staging, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (blobs->blobs_fd < 0 || blobs->staging_fd < 0) {
        return blob_fail("cannot open its folders", err);
    }
    GH_TRY(blob_clear_staging(blobs, err));
    GH_TRY(folder_sync(store_path(store), err));
    *out = GH_TAKE(blobs);
    return true;
}

static void blob_entry_free(struct blob_entry *entry)
{
    (void)close(entry->file.fd);
    free(entry);
}

void blob_store_free(struct blob_store *blobs)
{
    if (blobs == NULL) {
        return;
    }
    for (size_t i = 0; i < BLOB_SLOTS; i++) {
        while (blobs->slots[i] != NULL) {
            struct blob_entry *entry = blobs->slots[i];

            blobs->slots[i] = entry->next;
            blob_entry_free(entry);
        }
    }
    if (blobs->blobs_fd >= 0) {
        (void)close(blobs->blobs_fd);
    }
    if (blobs->staging_fd >= 0) {
        (void)close(blobs->staging_fd);
    }
    lock_done(&blobs->lock);
    free(blobs);
}

/* --- open files; the lock is held in all of these --- */

static struct blob_entry **blob_slot(struct blob_store *blobs, const struct digest *digest)
{
    size_t n = (size_t)digest->value[0] << 8 | digest->value[1]; /* a digest is a good hash */

    return &blobs->slots[n % BLOB_SLOTS];
}

static struct blob_entry *blob_find(struct blob_store *blobs, const struct digest *digest)
{
    struct blob_entry *entry = *blob_slot(blobs, digest);

    while (entry != NULL && !digest_equal(&entry->file.digest, digest)) {
        entry = entry->next;
    }
    return entry;
}

static void blob_idle_remove(struct blob_store *blobs, struct blob_entry *entry)
{
    if (entry->newer != NULL) {
        entry->newer->older = entry->older;
    } else {
        blobs->idle_newest = entry->older;
    }
    if (entry->older != NULL) {
        entry->older->newer = entry->newer;
    } else {
        blobs->idle_oldest = entry->newer;
    }
    entry->newer = NULL;
    entry->older = NULL;
    blobs->idle_count--;
}

static void blob_idle_add(struct blob_store *blobs, struct blob_entry *entry)
{
    entry->newer = NULL;
    entry->older = blobs->idle_newest;
    if (blobs->idle_newest != NULL) {
        blobs->idle_newest->newer = entry;
    } else {
        blobs->idle_oldest = entry;
    }
    blobs->idle_newest = entry;
    blobs->idle_count++;
}

static struct blob_entry *blob_entry_ref(struct blob_store *blobs, struct blob_entry *entry)
{
    if (entry->references++ == 0 && entry->is_listed) {
        blob_idle_remove(blobs, entry);
    }
    return entry;
}

/* Take an entry out of the table. Gives it back when nobody reads it: the caller frees it, without
 * the lock. */
static struct blob_entry *blob_unlist(struct blob_store *blobs, struct blob_entry *entry)
{
    struct blob_entry **link = blob_slot(blobs, &entry->file.digest);

    while (*link != entry) {
        link = &(*link)->next;
    }
    *link = entry->next;
    if (entry->references == 0) {
        blob_idle_remove(blobs, entry);
    }
    entry->is_listed = false;
    if (entry->references > 0) {
        return NULL;
    }
    blobs->open_count--;
    return entry;
}

/* --- */

void blob_file_unref(struct blob_store *blobs, struct blob_file *file)
{
    struct blob_entry *entry = (struct blob_entry *)file;
    struct blob_entry *closed = NULL;

    if (file == NULL) {
        return;
    }
    {
        LOCK_HOLD(&blobs->lock);
        if (--entry->references > 0) {
            return;
        }
        if (!entry->is_listed) {
            blobs->open_count--;
            closed = entry;
        } else {
            blob_idle_add(blobs, entry);
            if (blobs->idle_count > BLOB_STORE_OPEN_FILES) {
                closed = blob_unlist(blobs, blobs->idle_oldest);
            }
        }
    }
    if (closed != NULL) {
        blob_entry_free(closed);
    }
}

/* List a file just opened (FD: taken) with one reference. Where the digest is listed already, that
 * one is used, unless it IS_REPLACED. */
static struct blob_entry *blob_list(struct blob_store *blobs, const struct digest *digest, int fd,
                                    uint64_t size, bool is_checked, bool is_replaced)
{
    struct blob_entry *entry = calloc(1, sizeof(*entry));
    struct blob_entry *closed = NULL;
    struct blob_entry *known;

    if (entry == NULL) {
        (void)close(fd);
        return NULL;
    }
    entry->file.fd = fd;
    entry->file.size_bytes = size;
    entry->file.digest = *digest;
    atomic_init(&entry->is_checked, is_checked);
    {
        LOCK_HOLD(&blobs->lock);
        known = blob_find(blobs, digest);
        if (known != NULL && !is_replaced) {
            closed = entry;
            entry = blob_entry_ref(blobs, known);
        } else {
            struct blob_entry **slot = blob_slot(blobs, digest);

            if (known != NULL) {
                closed = blob_unlist(blobs, known);
            }
            entry->references = 1;
            entry->is_listed = true;
            entry->next = *slot;
            *slot = entry;
            blobs->open_count++;
        }
    }
    if (closed != NULL) {
        blob_entry_free(closed);
    }
    return entry;
}

bool blob_stage_new(struct blob_store *blobs, uint64_t expected_bytes, struct blob_stage **out,
                    struct gh_error *err)
{
    struct blob_stage *stage;

    if (expected_bytes > blobs->max_bytes) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED,
                       "a blob of %llu bytes does not fit the store's limit of %llu",
                       (unsigned long long)expected_bytes, (unsigned long long)blobs->max_bytes);
    }
    stage = calloc(1, sizeof(*stage));
    if (stage == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    stage->expected_bytes = expected_bytes;
    (void)snprintf(stage->name, sizeof(stage->name), "%016llx",
                   (unsigned long long)atomic_fetch_add(&blobs->next_stage, 1));
    stage->fd = openat(blobs->staging_fd, stage->name,
                       O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (stage->fd < 0) {
        free(stage);
        return blob_fail("cannot make a staged file", err);
    }
    *out = stage;
    return true;
}

void blob_stage_abort(struct blob_store *blobs, struct blob_stage *stage)
{
    if (stage == NULL) {
        return;
    }
    (void)unlinkat(blobs->staging_fd, stage->name, 0);
    (void)close(stage->fd);
    free(stage);
}

static bool blob_sync_folder(struct blob_store *blobs, const char *name, struct gh_error *err)
{
    int fd = openat(blobs->blobs_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok;

    if (fd < 0) {
        return blob_fail("cannot open a folder", err);
    }
    ok = fsync(fd) == 0 || blob_fail("cannot sync a folder", err);
    (void)close(fd);
    return ok;
}

/* Make NAME's folder; where it is new, its own entry is made durable as well. */
static bool blob_make_folder(struct blob_store *blobs, const char *name, const char *parent,
                             struct gh_error *err)
{
    if (mkdirat(blobs->blobs_fd, name, 0700) == 0) {
        return blob_sync_folder(blobs, parent, err);
    }
    return errno == EEXIST || blob_fail("cannot make a folder", err);
}

/* fsync, rename, fsync of the folder: in this order a crash leaves the whole file or none. */
static bool blob_rename_in(struct blob_store *blobs, const struct blob_stage *stage,
                           const struct digest *digest, struct gh_error *err)
{
    size_t alg_len = strlen(digest_alg_name(digest->alg));
    char alg[BLOB_MAX_NAME];
    char first[BLOB_MAX_NAME];
    char second[BLOB_MAX_NAME];
    char name[BLOB_MAX_NAME];

    blob_name(digest, name);
    (void)snprintf(alg, sizeof(alg), "%.*s", (int)alg_len, name);
    (void)snprintf(first, sizeof(first), "%.*s", (int)alg_len + 3, name);
    (void)snprintf(second, sizeof(second), "%.*s", (int)alg_len + 6, name);
    if (fsync(stage->fd) != 0) {
        return blob_fail("cannot sync a staged file", err);
    }
    GH_TRY(blob_make_folder(blobs, first, alg, err));
    GH_TRY(blob_make_folder(blobs, second, first, err));
    if (renameat(blobs->staging_fd, stage->name, blobs->blobs_fd, name) != 0) {
        return blob_fail("cannot name a file", err);
    }
    return blob_sync_folder(blobs, second, err);
}

static int blob_open_fd(struct blob_store *blobs, const struct digest *digest)
{
    char name[BLOB_MAX_NAME];

    blob_name(digest, name);
    return openat(blobs->blobs_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

static bool blob_publish(struct blob_store *blobs, struct blob_stage *stage,
                         const struct digest *digest, uint64_t size_bytes, int64_t now_unix_s,
                         struct blob_file **out, struct gh_error *err)
{
    struct blob_info info = {
        .size_bytes = size_bytes, .made_unix_s = now_unix_s, .epoch = store_epoch(blobs->store)};
    struct blob_entry *entry;
    struct stat st;
    int fd;

    if (fstat(stage->fd, &st) != 0 || (uint64_t)st.st_size != size_bytes) {
        return gh_fail(err, GH_INTERNAL_ERROR, "a staged file is not %llu bytes long",
                       (unsigned long long)size_bytes);
    }
    GH_TRY(blob_rename_in(blobs, stage, digest, err));
    fd = blob_open_fd(blobs, digest);
    if (fd < 0) {
        return blob_fail("cannot open what was published", err);
    }
    entry = blob_list(blobs, digest, fd, size_bytes, true, true);
    if (entry == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    if (!blob_index_put(blobs->store, digest, &info, err)) {
        blob_file_unref(blobs, &entry->file);
        return false;
    }
    *out = &entry->file;
    return true;
}

bool blob_stage_publish(struct blob_store *blobs, struct blob_stage *stage,
                        const struct digest *digest, uint64_t size_bytes, int64_t now_unix_s,
                        struct blob_file **out, struct gh_error *err)
{
    bool ok = (digest->alg == DIGEST_SHA256 || digest->alg == DIGEST_SHA512) ||
              gh_fail(err, GH_DIGEST_ALG_UNSUPPORTED, "content is stored by sha256 or sha512");

    ok = ok && blob_publish(blobs, stage, digest, size_bytes, now_unix_s, out, err);
    /* after the rename there is no such name left, and this does nothing but close */
    blob_stage_abort(blobs, stage);
    if (ok) {
        blob_store_make_room(blobs, 0);
    }
    return ok;
}

static bool blob_write_all(int fd, struct bytes content, struct gh_error *err)
{
    size_t done = 0;

    while (done < content.len) {
        ssize_t n = write(fd, content.data + done, content.len - done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return blob_fail("cannot write", err);
        }
        done += (size_t)n;
    }
    return true;
}

bool blob_store_put(struct blob_store *blobs, const struct digest *digest, struct bytes content,
                    int64_t now_unix_s, struct gh_error *err)
{
    struct blob_stage *stage = NULL;
    struct blob_file *file = NULL;

    GH_TRY(digest_check(digest, content, err));
    GH_TRY(blob_stage_new(blobs, content.len, &stage, err));
    if (!blob_write_all(stage->fd, content, err)) {
        blob_stage_abort(blobs, stage);
        return false;
    }
    GH_TRY(blob_stage_publish(blobs, stage, digest, content.len, now_unix_s, &file, err));
    blob_file_unref(blobs, file);
    return true;
}

static enum blob_found blob_state(const struct blob_entry *entry)
{
    return atomic_load(&entry->is_checked) ? BLOB_READY : BLOB_UNCHECKED;
}

enum blob_found blob_open(struct blob_store *blobs, const struct digest *digest, int64_t now_unix_s,
                          struct blob_file **out)
{
    struct blob_info info = {0};
    struct blob_entry *entry;
    struct stat st;
    bool is_known;
    int fd;

    {
        LOCK_HOLD(&blobs->lock);
        entry = blob_find(blobs, digest);
        if (entry != NULL) {
            (void)blob_entry_ref(blobs, entry);
        }
    }
    if (entry == NULL) {
        is_known = blob_index_get(blobs->store, digest, &info);
        if (!is_known && store_was_clean(blobs->store)) {
            return BLOB_ABSENT;
        }
        fd = blob_open_fd(blobs, digest);
        if (fd < 0) {
            return BLOB_ABSENT;
        }
        if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
            (void)close(fd);
            return BLOB_ABSENT;
        }
        /* A file without a record was published just before a crash; one whose size is not the
         * record's was damaged: neither counts as checked. */
        entry = blob_list(blobs, digest, fd, (uint64_t)st.st_size,
                          is_known && info.epoch == store_epoch(blobs->store) &&
                              (uint64_t)st.st_size == info.size_bytes,
                          false);
        if (entry == NULL) {
            return BLOB_ABSENT;
        }
    }
    blob_index_touch(blobs->store, digest, now_unix_s);
    *out = &entry->file;
    return blob_state(entry);
}

/* By pread, so that readers of the same descriptor are not disturbed. */
static bool blob_hash(const struct blob_file *file, struct digest *out, struct gh_error *err)
{
    GH_OWN(digest_stream_freep) struct digest_stream *stream = NULL;
    uint8_t *buffer = malloc(BLOB_CHECK_BYTES);
    uint64_t at = 0;
    bool ok;

    if (buffer == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    ok = digest_stream_new(file->digest.alg, &stream, err);
    while (ok) {
        ssize_t n = pread(file->fd, buffer, BLOB_CHECK_BYTES, (off_t)at);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            ok = blob_fail("cannot read a file", err);
        }
        if (n <= 0) {
            break;
        }
        ok = digest_stream_update(stream, bytes_make(buffer, (size_t)n), err);
        at += (uint64_t)n;
    }
    free(buffer);
    return ok && digest_stream_final(stream, out, err);
}

bool blob_check(struct blob_store *blobs, struct blob_file *file, int64_t now_unix_s,
                struct gh_error *err)
{
    struct blob_entry *entry = (struct blob_entry *)file;
    struct blob_info info = {.size_bytes = file->size_bytes,
                             .made_unix_s = now_unix_s,
                             .epoch = store_epoch(blobs->store)};
    struct digest found;

    if (atomic_load(&entry->is_checked)) {
        return true;
    }
    GH_TRY(blob_hash(file, &found, err));
    if (!digest_equal(&found, &file->digest)) {
        char wanted[DIGEST_MAX_TEXT];

        digest_format(&file->digest, wanted);
        (void)!blob_remove(blobs, &file->digest, NULL);
        return gh_fail(err, GH_DIGEST_MISMATCH, "the stored content of %s was damaged", wanted);
    }
    GH_TRY(blob_index_put(blobs->store, &file->digest, &info, err));
    atomic_store(&entry->is_checked, true);
    return true;
}

bool blob_remove(struct blob_store *blobs, const struct digest *digest, struct gh_error *err)
{
    struct blob_entry *closed = NULL;
    struct blob_entry *entry;
    char name[BLOB_MAX_NAME];

    {
        LOCK_HOLD(&blobs->lock);
        entry = blob_find(blobs, digest);
        if (entry != NULL) {
            closed = blob_unlist(blobs, entry);
        }
    }
    if (closed != NULL) {
        blob_entry_free(closed);
    }
    /* The file first: a record without a file is found and forgotten, a file without a record
     * would use up the disk unseen. */
    blob_name(digest, name);
    if (unlinkat(blobs->blobs_fd, name, 0) != 0 && errno != ENOENT) {
        return blob_fail("cannot remove a file", err);
    }
    return blob_index_remove(blobs->store, digest, err);
}

static bool blob_is_held(struct blob_store *blobs, const struct digest *digest)
{
    struct blob_entry *entry;

    LOCK_HOLD(&blobs->lock);
    entry = blob_find(blobs, digest);
    return entry != NULL && entry->references > 0;
}

/* Evict from one sample. At most its older half goes, so that a large store keeps to the order of
 * use; a small one is a single sample, and there all that is needed goes. */
static bool blob_evict_round(struct blob_store *blobs, uint64_t total, uint64_t target,
                             uint64_t *left)
{
    struct blob_victim *victims = NULL;
    uint64_t before = total;
    size_t count;
    size_t most;

    if (!blob_index_sample(blobs->store, &victims, &count, NULL)) {
        return false;
    }
    most = count < BLOB_INDEX_SAMPLE ? count : count / 2;
    for (size_t i = 0; i < most && total > target; i++) {
        if (blob_is_held(blobs, &victims[i].digest) ||
            !blob_remove(blobs, &victims[i].digest, NULL)) {
            continue;
        }
        total -= GH_MIN(total, victims[i].size_bytes);
        atomic_fetch_add(&blobs->evictions, 1);
        atomic_fetch_add(&blobs->evicted_bytes, victims[i].size_bytes);
    }
    free(victims);
    *left = total;
    return total < before;
}

void blob_store_make_room(struct blob_store *blobs, uint64_t bytes)
{
    uint64_t wanted = bytes < blobs->max_bytes ? blobs->max_bytes - bytes : 0;
    struct blob_totals totals;
    uint64_t left;

    blob_index_totals(blobs->store, &totals);
    if (totals.bytes <= wanted || atomic_flag_test_and_set(&blobs->is_evicting)) {
        return;
    }
    for (int round = 0; round < BLOB_EVICT_ROUNDS; round++) {
        store_flush(blobs->store); /* the sums and samples are of what is committed */
        blob_index_totals(blobs->store, &totals);
        left = totals.bytes;
        /* a twentieth more than needed, so that not every fill pays for this */
        if (left <= wanted || !blob_evict_round(blobs, left, wanted - wanted / 20, &left)) {
            break;
        }
    }
    store_flush(blobs->store);
    atomic_flag_clear(&blobs->is_evicting);
}

void blob_store_stats(struct blob_store *blobs, struct blob_store_stats *out)
{
    struct blob_totals totals;

    memset(out, 0, sizeof(*out));
    blob_index_totals(blobs->store, &totals);
    out->bytes = totals.bytes;
    out->count = totals.count;
    out->max_bytes = blobs->max_bytes;
    out->evictions = atomic_load(&blobs->evictions);
    out->evicted_bytes = atomic_load(&blobs->evicted_bytes);
    LOCK_HOLD(&blobs->lock);
    out->open_files = blobs->open_count;
}

/* --- after an unclean stop --- */

static bool blob_adopt(struct blob_store *blobs, enum digest_alg alg, const char *hex,
                       struct gh_error *err)
{
    struct blob_info info = {0};
    struct digest digest = {.alg = alg};
    char name[BLOB_MAX_NAME];
    struct stat st;

    if (!bytes_hex_decode(bytes_of(hex), digest.value, digest_alg_len(alg), NULL) ||
        blob_index_get(blobs->store, &digest, &info)) {
        return true;
    }
    blob_name(&digest, name);
    if (fstatat(blobs->blobs_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) {
        return true;
    }
    info.size_bytes = (uint64_t)st.st_size;
    info.made_unix_s = st.st_mtime;
    info.epoch = 0; /* to be checked before its first use */
    return blob_index_put(blobs->store, &digest, &info, err);
}

/* Folders two levels down, then files. */
static bool blob_adopt_folder(struct blob_store *blobs, enum digest_alg alg, const char *path,
                              int depth, struct gh_error *err)
{
    int fd = openat(blobs->blobs_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    bool ok = true;

    if (dir == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return true;
    }
    while (ok && (entry = readdir(dir)) != NULL) {
        char below[BLOB_MAX_NAME];

        if (entry->d_name[0] == '.') {
            continue;
        }
        if (depth == 2) {
            ok = blob_adopt(blobs, alg, entry->d_name, err);
        } else if (strlen(entry->d_name) == 2) {
            (void)snprintf(below, sizeof(below), "%s/%.2s", path, entry->d_name);
            ok = blob_adopt_folder(blobs, alg, below, depth + 1, err);
        }
    }
    (void)closedir(dir);
    return ok;
}

bool blob_store_reconcile(struct blob_store *blobs, struct gh_error *err)
{
    GH_TRY(blob_adopt_folder(blobs, DIGEST_SHA256, "sha256", 0, err));
    return blob_adopt_folder(blobs, DIGEST_SHA512, "sha512", 0, err);
}
