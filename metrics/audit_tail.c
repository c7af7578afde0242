#include "metrics/audit_tail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "metrics/audit_record.h"
#include "metrics/error.h"

#define AUDIT_TAIL_DIGITS 20
#define AUDIT_TAIL_WINDOW (2 * AUDIT_MAX_LINE)
#define AUDIT_TAIL_SEQ "{\"seq\":"

struct audit_tail {
    char path[PATH_MAX];
    char folder[PATH_MAX];
    const char *name; /* within path */
    uint64_t next;    /* the record wanted */
    int fd;           /* -1: none is open */
    uint64_t offset;  /* of what was not read yet */
    uint64_t base;    /* file offset of buffer[0] */
    size_t have;
    char buffer[AUDIT_TAIL_WINDOW];
};

bool audit_tail_new(const char *path, uint64_t after, struct audit_tail **out, struct gh_error *err)
{
    struct audit_tail *tail = calloc(1, sizeof(*tail));
    const char *slash = strrchr(path, '/');
    size_t len = strlen(path);

    if (tail == NULL || len >= sizeof(tail->path)) {
        free(tail);
        return gh_fail(err, GH_INTERNAL_ERROR, "the audit log %s cannot be followed", path);
    }
    memcpy(tail->path, path, len + 1);
    if (slash == NULL) {
        tail->folder[0] = '.';
        tail->name = tail->path;
    } else {
        memcpy(tail->folder, path, slash == path ? 1 : (size_t)(slash - path));
        tail->name = tail->path + (slash - path) + 1;
    }
    tail->next = after + 1;
    tail->fd = -1;
    *out = tail;
    return true;
}

void audit_tail_free(struct audit_tail *tail)
{
    if (tail == NULL) {
        return;
    }
    if (tail->fd >= 0) {
        (void)close(tail->fd);
    }
    free(tail);
}

/* ---- files ---- */

/* The number in the name of an earlier part, or 0. */
static uint64_t audit_tail_part(const struct audit_tail *tail, const char *name)
{
    size_t len = strlen(tail->name);
    uint64_t number = 0;

    if (strncmp(name, tail->name, len) != 0 || name[len] != '.' ||
        strlen(name + len + 1) != AUDIT_TAIL_DIGITS) {
        return 0;
    }
    for (const char *c = name + len + 1; *c != '\0'; c++) {
        if (*c < '0' || *c > '9') {
            return 0;
        }
        number = number * 10 + (uint64_t)(*c - '0');
    }
    return number;
}

/* The parts before and after which record NEXT stands; 0: there is none. A part ends with the
 * record of its number or a few more, so the one before may hold it too. */
struct audit_tail_parts {
    uint64_t before;
    uint64_t after;
    uint64_t after_bytes; /* of all later parts */
};

static struct audit_tail_parts audit_tail_find(const struct audit_tail *tail)
{
    DIR *folder = opendir(tail->folder);
    struct audit_tail_parts found = {0};

    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        uint64_t number = audit_tail_part(tail, entry->d_name);
        struct stat status;

        if (number < tail->next) {
            found.before = GH_MAX(found.before, number);
            continue;
        }
        if (fstatat(dirfd(folder), entry->d_name, &status, 0) == 0) {
            found.after_bytes += (uint64_t)status.st_size;
        }
        found.after = found.after == 0 ? number : GH_MIN(found.after, number);
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return found;
}

static int audit_tail_open_next(const struct audit_tail *tail)
{
    struct audit_tail_parts parts = audit_tail_find(tail);
    uint64_t part = tail->fd < 0 && parts.before != 0 ? parts.before : parts.after;
    char name[PATH_MAX + 32];

    if (part == 0) {
        return open(tail->path, O_RDONLY | O_CLOEXEC);
    }
    (void)snprintf(name, sizeof(name), "%s.%020llu", tail->path, (unsigned long long)part);
    return open(name, O_RDONLY | O_CLOEXEC);
}

static void audit_tail_use(struct audit_tail *tail, int fd)
{
    if (tail->fd >= 0) {
        (void)close(tail->fd);
    }
    tail->fd = fd;
    tail->offset = 0;
    tail->base = 0;
    tail->have = 0;
}

static bool audit_tail_same_file(int a, int b)
{
    struct stat one;
    struct stat two;

    return fstat(a, &one) == 0 && fstat(b, &two) == 0 && one.st_ino == two.st_ino &&
           one.st_dev == two.st_dev;
}

static bool audit_tail_has_line(int fd)
{
    char start[AUDIT_MAX_LINE];
    ssize_t len = pread(fd, start, sizeof(start), 0);

    return len > 0 && memchr(start, '\n', (size_t)len) != NULL;
}

/* ---- lines ---- */

/* A whole line at the offset, from the buffer or the file. What is half written stays unread: it
 * may still be cut off. */
static const char *audit_tail_line(struct audit_tail *tail, size_t *len)
{
    for (int round = 0; round < 2 && tail->fd >= 0; round++) {
        size_t begin = (size_t)(tail->offset - tail->base);
        const char *end = memchr(tail->buffer + begin, '\n', tail->have - begin);
        ssize_t n;

        if (end != NULL) {
            *len = (size_t)(end - tail->buffer) - begin;
            return tail->buffer + begin;
        }
        n = pread(tail->fd, tail->buffer, sizeof(tail->buffer), (off_t)tail->offset);
        tail->base = tail->offset;
        tail->have = n > 0 ? (size_t)n : 0;
    }
    return NULL;
}

static uint64_t audit_tail_seq(const char *line, size_t len)
{
    size_t at = sizeof(AUDIT_TAIL_SEQ) - 1;
    uint64_t seq = 0;

    if (len < at || memcmp(line, AUDIT_TAIL_SEQ, at) != 0) {
        return 0;
    }
    for (; at < len && line[at] >= '0' && line[at] <= '9' && seq < UINT64_MAX / 16; at++) {
        seq = seq * 10 + (uint64_t)(line[at] - '0');
    }
    return seq;
}

/*
 * At the end of a file: go on with the one that follows, if it has begun. Its writer may still hold
 * the file that was moved away, so the end of that one is looked at once more by the caller.
 */
static bool audit_tail_advance(struct audit_tail *tail)
{
    int fd = audit_tail_open_next(tail);
    size_t len;

    if (fd < 0) {
        return false;
    }
    if (tail->fd >= 0 && (audit_tail_same_file(tail->fd, fd) || !audit_tail_has_line(fd) ||
                          audit_tail_line(tail, &len) != NULL)) {
        bool has_more = audit_tail_line(tail, &len) != NULL;

        (void)close(fd);
        return has_more;
    }
    audit_tail_use(tail, fd);
    return true;
}

enum audit_tail_result audit_tail_next(struct audit_tail *tail, struct audit_tail_record *out)
{
    for (;;) {
        size_t len;
        const char *line = audit_tail_line(tail, &len);
        uint64_t seq;

        if (line == NULL) {
            if (!audit_tail_advance(tail) || audit_tail_line(tail, &len) == NULL) {
                return AUDIT_TAIL_NONE;
            }
            continue;
        }
        seq = audit_tail_seq(line, len);
        if (seq > tail->next) {
            *out = (struct audit_tail_record){.seq = seq - 1, .from = tail->next};
            tail->next = seq;
            return AUDIT_TAIL_LOST;
        }
        tail->offset += len + 1;
        if (seq == tail->next) {
            *out = (struct audit_tail_record){.seq = seq, .line = line, .len = len};
            tail->next++;
            return AUDIT_TAIL_LINE;
        }
    }
}

uint64_t audit_tail_behind(const struct audit_tail *tail)
{
    struct stat status;
    uint64_t bytes = 0;
    int fd;

    if (tail->fd >= 0 && fstat(tail->fd, &status) == 0 && (uint64_t)status.st_size > tail->offset) {
        bytes = (uint64_t)status.st_size - tail->offset;
    }
    fd = open(tail->path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (tail->fd < 0 || !audit_tail_same_file(tail->fd, fd)) {
            bytes += fstat(fd, &status) == 0 ? (uint64_t)status.st_size : 0;
            bytes +=
                audit_tail_find(tail)
                    .after_bytes; /* the open part may count twice: behind is rather too large */
        }
        (void)close(fd);
    }
    return bytes;
}
