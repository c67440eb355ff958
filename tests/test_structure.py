"""The import structure: what import-linter cannot see."""

import grimp


def test_no_files_import_each_other_in_a_circle():
    graph = grimp.build_graph("workshop")  # imports for type checkers count too
    number, lowest, stack, circles = {}, {}, [], []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for imported in graph.find_modules_directly_imported_by(module):
            if imported not in number:
                visit(imported)
            if imported in stack:
                lowest[module] = min(lowest[module], lowest[imported])
        if lowest[module] == number[module]:  # the first of its circle, or in none (Tarjan 1972)
            at = stack.index(module)
            if len(stack) - at > 1:
                circles.append(sorted(stack[at:]))
            del stack[at:]

    for module in sorted(graph.modules):
        if module not in number:
            visit(module)
    assert not circles
