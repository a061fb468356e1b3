RULES: dict[str,object] = {}
