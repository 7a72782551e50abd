/* A disk that fails or forgets, laid under a process by LD_PRELOAD.
 *
 * Calls on files below $DISK_FOLDER are written to $DISK_LOG in their order, so that a test can say
 * what a power cut at any moment would have left: everything before a file's last sync, and any part
 * of what came after it. With $DISK_FAIL_AT=n the n-th write, sync or truncation fails with
 * $DISK_ERRNO; with $DISK_FAIL_AFTER it is done all the same; with $DISK_FAIL_FOR=k so do the next
 * k-1. A record is: one letter, path length, offset, data length, path, data.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define MAX_FD 1024
static char *path_of[MAX_FD];
static int log_fd = -2;
static long calls, fail_at, fail_for = 1;
static int fail_errno, fail_after;
static const char *folder;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void set_up(void) {
    if (log_fd != -2) return;
    log_fd = -1;
    folder = getenv("DISK_FOLDER");
    const char *log = getenv("DISK_LOG");
    if (log) log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (getenv("DISK_FAIL_AT")) fail_at = atol(getenv("DISK_FAIL_AT"));
    if (getenv("DISK_FAIL_FOR")) fail_for = atol(getenv("DISK_FAIL_FOR"));
    if (getenv("DISK_ERRNO")) fail_errno = atoi(getenv("DISK_ERRNO"));
    fail_after = getenv("DISK_FAIL_AFTER") != NULL;
}

static void record(char letter, const char *path, int64_t offset, const void *data, uint32_t size) {
    if (log_fd < 0) return;
    uint32_t path_size = strlen(path);
    char head[17];
    head[0] = letter;
    memcpy(head + 1, &path_size, 4);
    memcpy(head + 5, &offset, 8);
    memcpy(head + 13, &size, 4);
    char *all = malloc(17 + path_size + size);
    memcpy(all, head, 17);
    memcpy(all + 17, path, path_size);
    if (size) memcpy(all + 17 + path_size, data, size);
    syscall(SYS_write, log_fd, all, 17 + path_size + size); /* one write: whole also when killed */
    free(all);
}

static const char *known(int fd) { return fd >= 0 && fd < MAX_FD ? path_of[fd] : NULL; }

/* Whether this call is to fail; counts it. */
static int failing(void) {
    calls++;
    return fail_at && calls >= fail_at && calls < fail_at + fail_for;
}

static int opened(int fd, const char *path) {
    set_up();
    if (fd >= 0 && fd < MAX_FD) {
        free(path_of[fd]);
        path_of[fd] = NULL;
        if (folder && path && strncmp(path, folder, strlen(folder)) == 0 &&
            !strstr(path, "-shm")) /* shared memory is rebuilt, never synced */
            path_of[fd] = strdup(path);
    }
    return fd;
}

#define MODE(last) mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, last); mode = va_arg(a, mode_t); va_end(a); }
int open(const char *path, int flags, ...) { MODE(flags) return opened(syscall(SYS_openat, AT_FDCWD, path, flags, mode), path); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode), path); }
int close(int fd) {
    if (known(fd)) { free(path_of[fd]); path_of[fd] = NULL; }
    return syscall(SYS_close, fd);
}

static ssize_t do_pwrite(int fd, const void *data, size_t size, off_t at) {
    const char *path = known(fd);
    if (!path) return syscall(SYS_pwrite64, fd, data, size, at);
    pthread_mutex_lock(&lock);
    int fails = strstr(path, "/acks") ? 0 : failing(); /* these stand for the network */
    ssize_t done = -1;
    if (!fails || fail_after) {
        done = syscall(SYS_pwrite64, fd, data, size, at);
        if (done > 0) record('W', path, at, data, done);
    }
    pthread_mutex_unlock(&lock);
    if (fails) { errno = fail_errno; return -1; }
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return do_pwrite(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return do_pwrite(fd, data, size, at); }
ssize_t write(int fd, const void *data, size_t size) {
    const char *path = known(fd);
    if (!path) return syscall(SYS_write, fd, data, size);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = do_pwrite(fd, data, size, at);
    if (done > 0) lseek(fd, at + done, SEEK_SET);
    return done;
}

static int do_sync(int fd, long number) {
    const char *path = known(fd);
    if (!path) return syscall(number, fd);
    pthread_mutex_lock(&lock);
    int fails = failing();
    int done = 0;
    if (!fails || fail_after) record('S', path, 0, NULL, 0); /* the disk itself is not asked */
    pthread_mutex_unlock(&lock);
    if (fails) { errno = fail_errno; return -1; }
    return done;
}
int fsync(int fd) { return do_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return do_sync(fd, SYS_fdatasync); }

static int do_truncate(int fd, off_t size) {
    const char *path = known(fd);
    if (!path) return syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&lock);
    int fails = failing();
    int done = -1;
    if (!fails || fail_after) {
        done = syscall(SYS_ftruncate, fd, size);
        if (done == 0) record('T', path, size, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    if (fails) { errno = fail_errno; return -1; }
    return done;
}
int ftruncate(int fd, off_t size) { return do_truncate(fd, size); }
int ftruncate64(int fd, off64_t size) { return do_truncate(fd, size); }

int unlink(const char *path) {
    int done = syscall(SYS_unlink, path);
    set_up();
    if (done == 0 && folder && strncmp(path, folder, strlen(folder)) == 0) record('U', path, 0, NULL, 0);
    return done;
}
