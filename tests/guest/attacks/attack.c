/* What attackers do with memory and files, one attack for each first argument. Exits with 0 when the attack
 * succeeded and with the errno of the call that was refused otherwise; 200 says that the attack itself was not
 * possible to make. Those on another process take its number. Without arguments it is a program that nobody signed, and says that it runs. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#ifndef PR_MDWE_REFUSE_EXEC_GAIN
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

#define IMPOSSIBLE 200

static void impossible(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(IMPOSSIBLE);
}

static int open_file(const char *path, off_t *size) {
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) < 0)
        impossible(path);
    *size = status.st_size;
    return file;
}

/* Maps a page of the file to execute it. */
static int map_one(const char *path) {
    off_t size;
    int file = open_file(path, &size);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
    int error = page == MAP_FAILED ? errno : 0;
    if (!error)
        munmap(page, 4096);
    close(file);
    return error;
}

static int compare(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

/* Prints how many nanoseconds the kernel takes to map a page of the file to execute it, and to unmap it: the median
 * of many. */
static int time_map(const char *path) {
    enum { RUNS = 2001 };
    static long durations[RUNS];
    off_t size;
    int file = open_file(path, &size);
    for (int i = 0; i < RUNS; i++) {
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
        if (page == MAP_FAILED)
            return errno;
        munmap(page, 4096);
        clock_gettime(CLOCK_MONOTONIC, &end);
        durations[i] = (end.tv_sec - start.tv_sec) * 1000000000L + end.tv_nsec - start.tv_nsec;
    }
    qsort(durations, RUNS, sizeof *durations, compare);
    printf("%ld\n", durations[RUNS / 2]);
    return 0;
}

/* Maps each file in turn, and prints the errno and the path. */
static int map(int count, char **paths) {
    int last = 0;
    for (int i = 0; i < count; i++) {
        last = map_one(paths[i]);
        printf("%d %s\n", last, paths[i]);
    }
    return last;
}

/* Maps a page of the file to read it, and makes that executable. */
static int protect(const char *path) {
    off_t size;
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, open_file(path, &size), 0);
    if (page == MAP_FAILED)
        impossible("mmap");
    return mprotect(page, 4096, PROT_READ | PROT_EXEC) ? errno : 0;
}

/* A page of no file that can be executed. */
static int anonymous(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? errno : 0;
}

/* Runs a copy of the program that lies in memory only. */
static int in_memory(const char *path) {
    off_t size;
    int file = open_file(path, &size);
    int copy = memfd_create("copy", MFD_CLOEXEC);
    if (copy < 0)
        impossible("memfd_create");
    for (off_t left = size; left > 0;) {
        ssize_t sent = sendfile(copy, file, NULL, left);
        if (sent <= 0)
            impossible("sendfile");
        left -= sent;
    }
    char *arguments[] = {"copy", NULL};
    fexecve(copy, arguments, environ);
    return errno;
}

/* Writes code into a private mapping of the file, makes it executable and runs it. */
static int overwrite(const char *path) {
    /* mov $42, %eax; ret */
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};
    off_t size;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, open_file(path, &size), 0);
    if (page == MAP_FAILED)
        impossible("mmap");
    memcpy(page, code, sizeof code);
    if (mprotect(page, 4096, PROT_READ | PROT_EXEC))
        return errno;
    int (*function)(void) = (int (*)(void))page;
    return function() == 42 ? 0 : IMPOSSIBLE;
}

/* Prints how many of the file's pages are in the page cache, and how many it has. Reads none. */
static int resident(const char *path) {
    off_t size;
    int file = open_file(path, &size);
    size_t pages = (size + 4095) / 4096, cached = 0;
    unsigned char *states = calloc(pages, 1);
    void *content = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
    if (!states || content == MAP_FAILED || mincore(content, size, states))
        impossible("mincore");
    for (size_t i = 0; i < pages; i++)
        cached += states[i] & 1;
    printf("%zu %zu\n", cached, pages);
    return 0;
}

/* Opens a file of another process in proc, and the errno if that is refused. */
static int open_of(const char *process, const char *name, int flags, int *file) {
    char path[128];
    snprintf(path, sizeof path, "/proc/%s/%s", process, name);
    *file = open(path, flags | O_CLOEXEC);
    return *file < 0 ? errno : 0;
}

/* Traces the process, and lets it go on. */
static int trace(const char *process) {
    pid_t pid = atoi(process);
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL))
        return errno;
    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
    waitpid(pid, NULL, __WALL);
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return 0;
}

/* Reads what the process has in memory, from the beginning of its first mapping. */
static int memory(const char *process) {
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%s/maps", process);
    FILE *maps = fopen(path, "re");
    if (!maps)
        return errno;
    if (!fgets(text, sizeof text, maps))
        return errno ? errno : EACCES;
    int file, error = open_of(process, "mem", O_RDONLY, &file);
    if (error)
        return error;
    return pread(file, text, 1, (off_t)strtoull(text, NULL, 16)) == 1 ? 0 : errno;
}

/* Takes a descriptor of the process for its own. */
static int take_descriptor(const char *process) {
    int process_file = syscall(SYS_pidfd_open, atoi(process), 0);
    if (process_file < 0)
        impossible("pidfd_open");
    return syscall(SYS_pidfd_getfd, process_file, 0, 0) < 0 ? errno : 0;
}

/* Enters the mount namespace of the process. */
static int enter_namespace(const char *process) {
    int file, error = open_of(process, "ns/mnt", O_RDONLY, &file);
    return error ? error : setns(file, CLONE_NEWNS) ? errno : 0;
}

/* Has the kernel tell whenever the process executes an instruction of its program. */
static int probe(const char *process) {
    const char *list = "/sys/kernel/tracing/uprobe_events";
    char path[64], line[128];
    struct stat status;
    snprintf(path, sizeof path, "/proc/%s/exe", process);
    /* The kernel looks for the program by this path, with the rights of whoever writes it. */
    if (stat(path, &status))
        return errno;
    int file = open(list, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (file < 0)
        impossible(list);
    int length = snprintf(line, sizeof line, "p:sealpack_attack %s:0x1000\n", path);
    int error = write(file, line, length) == length ? 0 : errno;
    if (!error && write(file, "-:sealpack_attack\n", 18) != 18)
        impossible("removing the probe");
    return error;
}

/* Follows one of the process's links to something that is its own: "root/nodes", "fd/0" or "exe". */
static int follow(const char *process, const char *link) {
    int file;
    return open_of(process, link, O_RDONLY, &file);
}

int main(int count, char **arguments) {
    if (count < 2) {
        puts("attacked");
        return 0;
    }
    const char *what = arguments[1], *path = arguments[count - 1];
    if (!strcmp(what, "map"))
        return map(count - 2, arguments + 2);
    if (!strcmp(what, "time-map"))
        return time_map(path);
    if (!strcmp(what, "protect"))
        return protect(path);
    if (!strcmp(what, "anonymous"))
        return anonymous();
    if (!strcmp(what, "in-memory"))
        return in_memory(path);
    if (!strcmp(what, "resident"))
        return resident(path);
    if (!strcmp(what, "overwrite-with-mdwe")) {
        if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0))
            impossible("PR_SET_MDWE");
        return overwrite(path);
    }
    if (!strcmp(what, "effective-user")) {
        printf("%u\n", (unsigned)geteuid());
        return 0;
    }
    if (!strcmp(what, "overwrite"))
        return overwrite(path);
    if (!strcmp(what, "ptrace"))
        return trace(path);
    if (!strcmp(what, "memory"))
        return memory(path);
    if (!strcmp(what, "descriptor"))
        return take_descriptor(path);
    if (!strcmp(what, "namespace"))
        return enter_namespace(path);
    if (!strcmp(what, "uprobe"))
        return probe(path);
    if (!strcmp(what, "root-link"))
        return follow(path, "root/nodes");
    if (!strcmp(what, "descriptor-link"))
        return follow(path, "fd/0");
    if (!strcmp(what, "program-link"))
        return follow(path, "exe");
    fprintf(stderr, "no such attack: %s\n", what);
    return IMPOSSIBLE;
}
