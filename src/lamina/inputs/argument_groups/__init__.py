"""Groups of arguments that belong together; `lamina.inputs.arguments` joins them to one table."""
