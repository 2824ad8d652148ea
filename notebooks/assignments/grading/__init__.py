"""How answers are marked: the answers live in one process, their tests in another.

| module | what it is |
|---|---|
| `plain` | what may cross the border between the two: numbers, text, lists, arrays |
| `sandbox` | how the answers' process is closed off: files, network, memory, time |
| `answers` | the answers' process: runs a student's cells and calls what they define |
| `remote` | the tests' side: starts that process, and stands for the functions in it |
| `preprocessors` | nbgrader's steps: restore the given cells, run, keep tests hidden |
| `own_names` | whose own numbers a submission was marked with |
| `platform_files` | the files of Moodle and Canvas: read, matched with the class, filled in |
| `marks` | nbgrader's step of export, which fills them in |

Nothing here imports landscape_nb: any course can be marked so.
"""
