#include "metrics/audit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "metrics/audit_note.h"
#include "metrics/error.h"
#include "metrics/lock.h"
#include "metrics/text.h"

#define AUDIT_CHECKPOINT_MS 60000
#define AUDIT_SUFFIX_DIGITS 20
#define AUDIT_WINDOW                                                                               \
    (2 * AUDIT_MAX_LINE) /* enough to hold a last line and what was torn off it                    \
                          */

struct audit {
    char path[PATH_MAX];
    char origin[AUDIT_NOTE_MAX_NAME];
    struct audit_note_key *key; /* NULL: no signatures */
    int64_t checkpoint_every_ms;
    uint64_t rotate_bytes;

    struct lock
        sync_lock; /* GH_RANK_AUDIT_SYNC: down to the next blank line; fd changes under both */
    int64_t synced_unix_ms;
    int64_t checkpoint_unix_ms;
    uint64_t checkpoint_seq; /* records up to here are covered */

    struct lock lock; /* GH_RANK_AUDIT: the rest */
    int fd;
    uint64_t size_bytes; /* of whole records; what is beyond is cut before the next append */
    bool is_dirty;       /* not synced */
    bool is_damaged;     /* the file may hold more than size_bytes */
    bool is_failed;      /* a sync failed: nothing can be promised about this file any more */
    struct audit_head head;
    struct text line;
    atomic_uint_fast64_t count;
};

static bool audit_fail(const char *what, const char *path, struct gh_error *err)
{
    return gh_fail(err, GH_AUDIT_UNAVAILABLE, "%s %s: %s", what, path, strerror(errno));
}

/* --- appending --- */

static bool audit_write_all(int fd, const char *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = write(fd, data + done, len - done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

/* The lines of ENTRIES into the buffer; the head after them. The lock is held. */
static bool audit_build(struct audit *audit, const struct audit_entry *entries, size_t count,
                        int64_t now_unix_ms, struct audit_head *head, struct gh_error *err)
{
    struct audit_head next = audit->head;

    text_clear(&audit->line);
    for (size_t i = 0; i < count; i++) {
        uint8_t hash[AUDIT_HASH_BYTES];
        struct gh_error why = {0};

        if (!audit_record_write(&audit->line, next.seq + 1, now_unix_ms, entries[i].type, next.hash,
                                entries[i].body, entries[i].body_len, hash, &why)) {
            return gh_fail(err, GH_AUDIT_UNAVAILABLE, "%s", why.text);
        }
        next.seq++;
        memcpy(next.hash, hash, sizeof(next.hash));
    }
    *head = next;
    return true;
}

/* The lock is held. */
static bool audit_put(struct audit *audit, const struct audit_entry *entries, size_t count,
                      int64_t now_unix_ms, struct gh_error *err)
{
    struct audit_head next;

    if (audit->is_failed) {
        return gh_fail(err, GH_AUDIT_UNAVAILABLE,
                       "the audit log %s could not be synced; move it away and send SIGUSR1",
                       audit->path);
    }
    if (audit->is_damaged && ftruncate(audit->fd, (off_t)audit->size_bytes) != 0) {
        return audit_fail("cannot repair", audit->path, err);
    }
    audit->is_damaged = false;
    GH_TRY(audit_build(audit, entries, count, now_unix_ms, &next, err));
    if (!audit_write_all(audit->fd, audit->line.data, audit->line.len)) {
        int saved = errno;

        /* half a record may stand there now: cut it off, at once or before the next one */
        audit->is_damaged = ftruncate(audit->fd, (off_t)audit->size_bytes) != 0;
        errno = saved;
        return audit_fail("cannot write to", audit->path, err);
    }
    audit->size_bytes += audit->line.len;
    audit->head = next;
    audit->is_dirty = true;
    atomic_fetch_add(&audit->count, count);
    return true;
}

bool audit_append(struct audit *audit, const struct audit_entry *entries, size_t count,
                  int64_t now_unix_ms, struct audit_head *head, struct gh_error *err)
{
    if (count == 0 || count > AUDIT_MAX_GROUP) {
        return gh_fail(err, GH_AUDIT_UNAVAILABLE, "%zu records at once cannot be appended", count);
    }
    LOCK_HOLD(&audit->lock);
    GH_TRY(audit_put(audit, entries, count, now_unix_ms, err));
    if (head != NULL) {
        *head = audit->head;
    }
    return true;
}

/* Append one record of our own. */
static bool audit_note_event(struct audit *audit, const char *type, struct text *body,
                             int64_t now_unix_ms, struct gh_error *err)
{
    struct audit_entry entry = {.type = type, .body = body->data, .body_len = body->len};

    if (!text_ok(body)) {
        return gh_fail(err, GH_AUDIT_UNAVAILABLE, "out of memory");
    }
    return audit_append(audit, &entry, 1, now_unix_ms, NULL, err);
}

void audit_get_head(struct audit *audit, struct audit_head *out)
{
    LOCK_HOLD(&audit->lock);
    *out = audit->head;
}

uint64_t audit_count(struct audit *audit)
{
    return atomic_load(&audit->count);
}

/* --- syncing and checkpoints; the sync lock is held in all of these --- */

/* Sync, without keeping appends waiting: the descriptor cannot change under the sync lock. */
static bool audit_sync(struct audit *audit, int64_t now_unix_ms, struct gh_error *err)
{
    bool was_dirty;
    int fd;

    {
        LOCK_HOLD(&audit->lock);
        was_dirty = audit->is_dirty;
        audit->is_dirty = false;
        fd = audit->fd;
    }
    audit->synced_unix_ms = now_unix_ms;
    if (!was_dirty || fdatasync(fd) == 0) {
        return true;
    }
    (void)audit_fail("cannot sync", audit->path, err);
    {
        /* After a failed sync the kernel may have dropped the pages and report success the next
         * time; so this file is not trusted again. */
        LOCK_HOLD(&audit->lock);
        audit->is_failed = true;
    }
    return false;
}

/* What is durable, beside the log: a tail cut off later shows at the next start. */
static bool audit_write_head(struct audit *audit, const struct audit_head *head,
                             struct gh_error *err)
{
    char hex[2 * AUDIT_HASH_BYTES + 1];
    char fresh[PATH_MAX + 16];
    char name[PATH_MAX + 16];
    char line[128];
    int fd;
    bool ok;
    int n;

    (void)snprintf(name, sizeof(name), "%s.head", audit->path);
    (void)snprintf(fresh, sizeof(fresh), "%s.head.new", audit->path);
    audit_hash_show(head->hash, hex);
    n = snprintf(line, sizeof(line), "%llu-%s\n", (unsigned long long)head->seq, hex);
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0) {
        return audit_fail("cannot write", fresh, err);
    }
    ok = audit_write_all(fd, line, (size_t)n) && fsync(fd) == 0;
    (void)close(fd);
    return (ok && rename(fresh, name) == 0) || audit_fail("cannot write", name, err);
}

/* The signed note over the head goes into the chain as a record of its own. */
static bool audit_put_checkpoint(struct audit *audit, const struct audit_head *head,
                                 int64_t now_unix_ms, struct gh_error *err)
{
    struct audit_note note = {.size = head->seq};
    struct text signed_note;
    struct text body;
    bool ok;

    (void)snprintf(note.origin, sizeof(note.origin), "%s", audit->origin);
    memcpy(note.root, head->hash, sizeof(note.root));
    text_init(&signed_note, AUDIT_NOTE_MAX_BYTES);
    text_init(&body, AUDIT_MAX_BODY);
    ok = audit_note_sign(audit->key, &note, &signed_note, err);
    if (ok) {
        struct audit_entry entry = {.type = "checkpoint"};

        text_put(&body, "{\"note\":");
        text_put_json(&body, text_cstr(&signed_note));
        text_put_char(&body, '}');
        entry.body = text_cstr(&body);
        entry.body_len = body.len;
        {
            /* The note is over the record just before its own. */
            LOCK_HOLD(&audit->lock);
            ok = text_ok(&body) && audit->head.seq == head->seq &&
                 audit_put(audit, &entry, 1, now_unix_ms, err);
        }
    }
    text_done(&signed_note);
    text_done(&body);
    return ok;
}

#define AUDIT_CHECKPOINT_TRIES 100

static bool audit_make_checkpoint(struct audit *audit, int64_t now_unix_ms, struct gh_error *err)
{
    struct audit_head head;
    bool ok = false;

    audit_get_head(audit, &head);
    audit->checkpoint_unix_ms = now_unix_ms;
    if (head.seq == audit->checkpoint_seq) {
        return true;
    }
    /* Signing is done without the append lock; another record may get in between. */
    for (int i = 0; audit->key != NULL && !ok && i < AUDIT_CHECKPOINT_TRIES; i++) {
        struct gh_error why = {0};

        audit_get_head(audit, &head);
        ok = audit_put_checkpoint(audit, &head, now_unix_ms, &why);
        if (!ok && why.cause != GH_CAUSE_NONE) {
            return gh_fail(err, GH_AUDIT_UNAVAILABLE, "%s", why.text);
        }
    }
    audit_get_head(audit, &head);
    GH_TRY(audit_sync(audit, now_unix_ms, err));
    audit->checkpoint_seq = head.seq;
    return audit_write_head(audit, &head, err);
}

bool audit_checkpoint(struct audit *audit, int64_t now_unix_ms, struct gh_error *err)
{
    LOCK_HOLD(&audit->sync_lock);
    return audit_make_checkpoint(audit, now_unix_ms, err);
}

static bool audit_open_fd(const char *path, int flags, int *out, struct gh_error *err)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0640);

    if (fd < 0) {
        return audit_fail("cannot open", path, err);
    }
    *out = fd;
    return true;
}

static const char *audit_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* Make a name in the log's folder durable. */
static void audit_sync_folder(const char *path)
{
    char folder[PATH_MAX];
    char *slash;
    int fd;

    (void)snprintf(folder, sizeof(folder), "%s", path);
    slash = strrchr(folder, '/');
    if (slash == NULL) {
        (void)snprintf(folder, sizeof(folder), ".");
    } else {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

/* Go on in FD (taken), a new empty file; its first record names where the chain comes from. */
static bool audit_continue_in(struct audit *audit, int fd, const char *from, int64_t now_unix_ms,
                              struct gh_error *err)
{
    struct text body;
    bool ok;
    int old;

    {
        LOCK_HOLD(&audit->lock);
        old = audit->fd;
        audit->fd = fd;
        audit->size_bytes = 0;
        audit->is_damaged = false;
        audit->is_failed = false;
        audit->is_dirty = true;
    }
    (void)fdatasync(old); /* what was appended to it last */
    (void)close(old);
    audit_sync_folder(audit->path);
    text_init(&body, AUDIT_MAX_BODY);
    text_put(&body, "{\"from\":");
    text_put_json(&body, from);
    text_put_char(&body, '}');
    ok = audit_note_event(audit, "rotated", &body, now_unix_ms, err) &&
         audit_sync(audit, now_unix_ms, err);
    text_done(&body);
    return ok;
}

static bool audit_rotate_now(struct audit *audit, int64_t now_unix_ms, struct gh_error *err)
{
    char name[PATH_MAX + 32];
    struct audit_head head;
    int fd = -1;

    GH_TRY(audit_make_checkpoint(audit, now_unix_ms, err));
    audit_get_head(audit, &head);
    (void)snprintf(name, sizeof(name), "%s.%020llu", audit->path, (unsigned long long)head.seq);
    if (access(name, F_OK) == 0) {
        return gh_fail(err, GH_AUDIT_UNAVAILABLE, "%s exists already", name);
    }
    /* Records may still be appended to the old file until the new one is in use; its name says the
     * least number it ends with. */
    if (rename(audit->path, name) != 0) {
        return audit_fail("cannot rename", audit->path, err);
    }
    if (!audit_open_fd(audit->path, O_EXCL, &fd, err)) {
        (void)rename(name, audit->path);
        return false;
    }
    return audit_continue_in(audit, fd, audit_base_name(name), now_unix_ms, err);
}

bool audit_rotate(struct audit *audit, int64_t now_unix_ms, struct gh_error *err)
{
    LOCK_HOLD(&audit->sync_lock);
    return audit_rotate_now(audit, now_unix_ms, err);
}

bool audit_reopen(struct audit *audit, int64_t now_unix_ms, struct gh_error *err)
{
    struct stat here;
    struct stat open_now;
    int fd = -1;

    LOCK_HOLD(&audit->sync_lock);
    if (fstat(audit->fd, &open_now) == 0 && lstat(audit->path, &here) == 0 &&
        here.st_ino == open_now.st_ino && here.st_dev == open_now.st_dev) {
        return true;
    }
    (void)!audit_sync(audit, now_unix_ms, NULL);
    GH_TRY(audit_open_fd(audit->path, O_EXCL, &fd, err));
    return audit_continue_in(audit, fd, "", now_unix_ms, err);
}

bool audit_tick(struct audit *audit, int64_t now_unix_ms, struct gh_error *err)
{
    uint64_t size;

    LOCK_HOLD(&audit->sync_lock);
    if (now_unix_ms - audit->checkpoint_unix_ms >= audit->checkpoint_every_ms ||
        now_unix_ms < audit->checkpoint_unix_ms) {
        GH_TRY(audit_make_checkpoint(audit, now_unix_ms, err));
    } else {
        GH_TRY(audit_sync(audit, now_unix_ms, err));
    }
    {
        LOCK_HOLD(&audit->lock);
        size = audit->size_bytes;
    }
    if (audit->rotate_bytes > 0 && size > audit->rotate_bytes) {
        return audit_rotate_now(audit, now_unix_ms, err);
    }
    return true;
}

/* --- opening --- */

/* The end of a log file. */
struct audit_tail {
    bool has_record;
    struct audit_record last;
    uint64_t whole_bytes; /* up to and with the last line feed */
    size_t torn_bytes;    /* behind it */
};

static bool audit_find_tail(const char *path, const char *data, size_t len, uint64_t size,
                            struct audit_tail *out, struct gh_error *err)
{
    struct gh_error why = {0};
    size_t end = len;
    size_t start;

    while (end > 0 && data[end - 1] != '\n') {
        end--;
    }
    out->torn_bytes = len - end;
    out->whole_bytes = size - out->torn_bytes;
    if (end == 0) {
        return out->whole_bytes == 0 ||
               gh_fail(err, GH_AUDIT_UNAVAILABLE,
                       "the end of the audit log %s is no record; move it away and begin a new "
                       "one",
                       path);
    }
    start = end - 1;
    while (start > 0 && data[start - 1] != '\n') {
        start--;
    }
    if (!audit_record_read(data + start, end - 1 - start, &out->last, &why)) {
        return gh_fail(err, GH_AUDIT_UNAVAILABLE,
                       "the last record of the audit log %s is damaged (%s); `audit verify` "
                       "shows where; move it away to begin a new one",
                       path, why.text);
    }
    out->has_record = true;
    return true;
}

static bool audit_read_tail(int fd, const char *path, struct audit_tail *out, struct gh_error *err)
{
    char *data = malloc(AUDIT_WINDOW);
    struct stat st;
    uint64_t from;
    ssize_t n;
    bool ok;

    memset(out, 0, sizeof(*out));
    if (data == NULL) {
        return gh_fail(err, GH_AUDIT_UNAVAILABLE, "out of memory");
    }
    if (fstat(fd, &st) != 0) {
        free(data);
        return audit_fail("cannot look at", path, err);
    }
    from = (uint64_t)st.st_size > AUDIT_WINDOW ? (uint64_t)st.st_size - AUDIT_WINDOW : 0;
    n = pread(fd, data, (size_t)((uint64_t)st.st_size - from), (off_t)from);
    ok = n == (ssize_t)((uint64_t)st.st_size - from)
             ? audit_find_tail(path, data, (size_t)n, (uint64_t)st.st_size, out, err)
             : audit_fail("cannot read", path, err);
    free(data);
    return ok;
}

/* The rotated part with the highest number, or an empty name. */
static void audit_find_rotated(const char *path, char out[PATH_MAX + 32])
{
    const char *base = audit_base_name(path);
    size_t base_len = strlen(base);
    size_t folder_len = (size_t)(base - path);
    char folder[PATH_MAX] = ".";
    char best[AUDIT_SUFFIX_DIGITS + 1] = "";
    struct dirent *entry;
    DIR *dir;

    out[0] = '\0';
    if (folder_len > 0) {
        (void)snprintf(folder, sizeof(folder), "%.*s", (int)folder_len, path);
    }
    dir = opendir(folder);
    if (dir == NULL) {
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        const char *suffix = entry->d_name + base_len + 1;

        if (strlen(entry->d_name) == base_len + 1 + AUDIT_SUFFIX_DIGITS &&
            strncmp(entry->d_name, base, base_len) == 0 && entry->d_name[base_len] == '.' &&
            strspn(suffix, "0123456789") == AUDIT_SUFFIX_DIGITS && strcmp(suffix, best) > 0) {
            memcpy(best, suffix, sizeof(best));
        }
    }
    (void)closedir(dir);
    if (best[0] != '\0') {
        (void)snprintf(out, PATH_MAX + 32, "%s.%s", path, best);
    }
}

/* An empty log goes on with the chain of the part rotated last, as after a crash while rotating. */
static bool audit_adopt_rotated(struct audit *audit, char from[PATH_MAX + 32], struct gh_error *err)
{
    struct audit_tail tail;
    bool ok;
    int fd;

    audit_find_rotated(audit->path, from);
    if (from[0] == '\0') {
        return true;
    }
    fd = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return audit_fail("cannot open", from, err);
    }
    ok = audit_read_tail(fd, from, &tail, err);
    (void)close(fd);
    if (ok && tail.has_record) {
        audit->head.seq = tail.last.seq;
        memcpy(audit->head.hash, tail.last.hash, sizeof(audit->head.hash));
    }
    return ok;
}

/* Read PATH.head; false when it is not there or not readable. */
static bool audit_read_head(const struct audit *audit, struct audit_head *out)
{
    char name[PATH_MAX + 16];
    unsigned long long seq;
    char line[128] = {0};
    char *dash;
    ssize_t n;
    int fd;

    (void)snprintf(name, sizeof(name), "%s.head", audit->path);
    fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return false;
    }
    n = read(fd, line, sizeof(line) - 1);
    (void)close(fd);
    if (n <= 0 || line[n - 1] != '\n') {
        return false;
    }
    seq = strtoull(line, &dash, 10);
    if (*dash != '-' || !audit_hash_read(dash + 1, (size_t)(line + n - 1 - dash - 1), out->hash)) {
        return false;
    }
    out->seq = seq;
    return true;
}

/* Record what was found wrong with the end of the log. */
static bool audit_record_findings(struct audit *audit, const struct audit_tail *tail,
                                  int64_t now_unix_ms, struct gh_error *err)
{
    char hex[2 * AUDIT_HASH_BYTES + 1];
    struct audit_head known;
    struct audit_head head;
    struct text body;
    bool ok = true;

    audit_get_head(audit, &head);
    text_init(&body, AUDIT_MAX_BODY);
    if (audit_read_head(audit, &known) && known.seq > head.seq) {
        audit_hash_show(known.hash, hex);
        text_printf(&body, "{\"expected_seq\":%llu,\"expected_hash\":\"%s\",\"found_seq\":%llu}",
                    (unsigned long long)known.seq, hex, (unsigned long long)head.seq);
        ok = audit_note_event(audit, "gap", &body, now_unix_ms, err);
        text_clear(&body);
    }
    if (ok && tail->torn_bytes > 0) {
        text_printf(&body, "{\"torn_bytes\":%zu}", tail->torn_bytes);
        ok = audit_note_event(audit, "repair", &body, now_unix_ms, err);
    }
    text_done(&body);
    return ok;
}

static bool audit_resume(struct audit *audit, int64_t now_unix_ms, struct gh_error *err)
{
    char from[PATH_MAX + 32] = "";
    struct audit_tail tail;
    bool ok = true;

    GH_TRY(audit_read_tail(audit->fd, audit->path, &tail, err));
    if (tail.torn_bytes > 0 &&
        (ftruncate(audit->fd, (off_t)tail.whole_bytes) != 0 || fsync(audit->fd) != 0)) {
        return audit_fail("cannot repair", audit->path, err);
    }
    audit->size_bytes = tail.whole_bytes;
    if (tail.has_record) {
        audit->head.seq = tail.last.seq;
        memcpy(audit->head.hash, tail.last.hash, sizeof(audit->head.hash));
        audit->checkpoint_seq = strcmp(tail.last.type, "checkpoint") == 0 ? tail.last.seq : 0;
    } else {
        GH_TRY(audit_adopt_rotated(audit, from, err));
    }
    if (from[0] != '\0') {
        struct text body;

        text_init(&body, AUDIT_MAX_BODY);
        text_put(&body, "{\"from\":");
        text_put_json(&body, audit_base_name(from));
        text_put_char(&body, '}');
        ok = audit_note_event(audit, "rotated", &body, now_unix_ms, err);
        text_done(&body);
    }
    audit_sync_folder(audit->path);
    return ok && audit_record_findings(audit, &tail, now_unix_ms, err);
}

static void audit_free(struct audit *audit)
{
    if (audit->fd >= 0) {
        (void)close(audit->fd);
    }
    audit_note_key_free(audit->key);
    text_done(&audit->line);
    lock_done(&audit->lock);
    lock_done(&audit->sync_lock);
    free(audit);
}
GH_DEFINE_FREEP(audit, struct audit)

bool audit_open(const struct audit_config *config, int64_t now_unix_ms, struct audit **out,
                struct gh_error *err)
{
    GH_OWN(audit_freep) struct audit *audit = calloc(1, sizeof(*audit));
    struct gh_error why = {0};

    if (audit == NULL) {
        return gh_fail(err, GH_AUDIT_UNAVAILABLE, "out of memory");
    }
    lock_init(&audit->sync_lock, GH_RANK_AUDIT_SYNC);
    lock_init(&audit->lock, GH_RANK_AUDIT);
    audit->fd = -1;
    text_init(&audit->line, (size_t)AUDIT_MAX_GROUP * AUDIT_MAX_LINE);
    if (strlen(config->path) + 64 > sizeof(audit->path)) {
        return gh_fail(err, GH_AUDIT_UNAVAILABLE, "the audit log's path is too long");
    }
    (void)snprintf(audit->path, sizeof(audit->path), "%s", config->path);
    (void)snprintf(audit->origin, sizeof(audit->origin), "%s",
                   config->origin != NULL ? config->origin : AUDIT_ORIGIN);
    audit->checkpoint_every_ms =
        config->checkpoint_every_ms > 0 ? config->checkpoint_every_ms : AUDIT_CHECKPOINT_MS;
    audit->rotate_bytes = config->rotate_bytes;
    audit->checkpoint_unix_ms = now_unix_ms;
    if (config->key_pem != NULL) {
        if (!audit_note_key_read(config->key_pem, config->key_pem_len, audit->origin, &audit->key,
                                 &why)) {
            return gh_fail(err, GH_AUDIT_UNAVAILABLE, "%s", why.text);
        }
        if (!audit_note_key_can_sign(audit->key)) {
            return gh_fail(err, GH_AUDIT_UNAVAILABLE, "the audit key is not a private key");
        }
    }
    GH_TRY(audit_open_fd(audit->path, 0, &audit->fd, err));
    GH_TRY(audit_resume(audit, now_unix_ms, err));
    *out = GH_TAKE(audit);
    return true;
}

void audit_close(struct audit *audit, int64_t now_unix_ms)
{
    if (audit == NULL) {
        return;
    }
    (void)!audit_checkpoint(audit, now_unix_ms, NULL);
    audit_free(audit);
}
